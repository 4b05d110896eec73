"""The watch from several processes at once: everything is told once, and of two words one wins."""

from __future__ import annotations

import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict
from hanse.contracts.watch import ConditionChange
from hanse.service.compliance import chores
from hanse.service.compliance.models import Condition, Rescreening, ThresholdMark
from hanse.service.compliance.rescreen import rescreen
from hanse.service.runs.models import Event
from tests.compliance.parts import grant
from tests.compliance.test_watch import reach, under_way
from tests.service.fixtures import World
from tests.service.test_races import at_once
from tests.service.test_rescreen import with_rule

pytestmark = pytest.mark.django_db(transaction=True)


def test_ticks_and_words_at_once_tell_and_change_each_thing_once(shared_world: World) -> None:
    granted = grant(shared_world)
    run = under_way(granted, parameters=10**11, tokens=10**11)
    reach(run, 140 * 10**9)
    at_once([lambda: chores.run(now())] * 3)
    assert ThresholdMark.objects.count() == 1
    assert Event.objects.filter(name="service:compute:near").count() == 1
    rules = with_rule()
    assert sum(len(one) for one in at_once([lambda: rescreen(rules=rules)] * 3)) == 1
    assert Rescreening.objects.count() == 1
    said = [ConditionChange(to="met", evidence="seen"), ConditionChange(to="waived", reason="dropped")]
    rows = [Condition.objects.get(award=granted.award, kind="officer") for _ in said]
    answers = at_once([lambda i=i: rows[i].change(said[i], shared_world.officer) for i in range(2)])
    assert [type(one) for one in answers if one is not None] == [Conflict]
