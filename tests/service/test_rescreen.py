"""Stored answers under changed rules: what changed is flagged once, and the decision an officer saw stays as it was."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hanse.rules.files import shipped
from hanse.rules.ruleset import Rule, RuleSet
from hanse.service import bootstrap
from hanse.service.access.apply import submit
from hanse.service.compliance.models import Rescreening, Screening
from hanse.service.compliance.rescreen import rescreen
from tests.service.test_programme import a_form

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(world: Any) -> Any:
    bootstrap.publish_calls(by="test")
    return submit(world.founder, a_form())


def with_rule(**changes: Any) -> RuleSet:
    """The shipped rules and one that speaks of every civilian project."""
    civilian = next(rule for rule in shipped().rules if rule.id == "civilian-use")
    raw = civilian.model_dump(by_alias=True, exclude={"when"})
    added = Rule.model_validate(
        {**raw, "id": "new-rule", "verdict": "review", "when": {"answer": "civilian-purpose", "is": True}, **changes}
    )
    return shipped().model_copy(update={"rules": (*shipped().rules, added)})


def test_under_the_same_rules_nothing_is_flagged(sent: Any) -> None:
    assert rescreen() == ()
    assert not Rescreening.objects.exists()


def test_a_new_rule_flags_the_application_once_and_leaves_its_decision_alone(sent: Any, world: Any) -> None:
    before = Screening.objects.get(application=sent).decision
    (changed,) = rescreen(rules=with_rule())
    assert (changed.application, changed.before, changed.after) == (sent.public_id, "pass", "review")
    assert changed.appeared == ("new-rule: review",)
    assert rescreen(rules=with_rule()) == ()
    assert Screening.objects.get(application=sent).decision == before
    assert world.events("service:screening:changed") == 1
    (back,) = rescreen()
    assert (back.after, back.gone) == ("pass", ("new-rule: review",))


def test_an_answer_whose_question_is_gone_is_left_out_and_one_that_is_contradicted_goes_to_a_person(sent: Any) -> None:
    screening = Screening.objects.get(application=sent)
    kept = {**screening.answers, "a-question-of-old": True}
    Screening.objects.filter(pk=screening.pk).update(answers=kept)
    assert rescreen() == ()
    Screening.objects.filter(pk=screening.pk).update(answers={**kept, "social-scoring-in-context": True})
    (changed,) = rescreen()
    assert changed.appeared == ("gate.answers-unclear: review",)


def test_the_command_tells_what_changed_and_refuses_what_is_no_date(sent: Any) -> None:
    said = StringIO()
    call_command("rescreen", stdout=said)
    assert said.getvalue() == "0 applications changed\n"
    with pytest.raises(CommandError, match="not a date"):
        call_command("rescreen", "--as-of", "soon")
