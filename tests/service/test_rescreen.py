"""Stored answers under changed rules: what changed is flagged once, and the decision an officer saw stays as it was."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hanse.contracts.base import now
from hanse.rules.files import shipped
from hanse.rules.ruleset import Rule, RuleSet
from hanse.service import bootstrap
from hanse.service.access.apply import submit
from hanse.service.compliance import rescreen
from hanse.service.compliance.models import Rescreening, RescreenPass, Screening
from tests.reviewed import reviewed
from tests.service.test_programme import a_form
from tests.service.test_races import at_once

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
    assert rescreen.rescreen() == ()
    assert not Rescreening.objects.exists()


def test_a_new_rule_flags_the_application_once_and_leaves_its_decision_alone(sent: Any, world: Any) -> None:
    before = Screening.objects.get(application=sent).decision
    (changed,) = rescreen.rescreen(rules=with_rule())
    assert (changed.application, changed.before, changed.after) == (sent.public_id, "pass", "review")
    assert changed.appeared == ("new-rule: review",)
    assert rescreen.rescreen(rules=with_rule()) == ()
    assert Screening.objects.get(application=sent).decision == before
    assert world.events("service:screening:changed") == 1
    (back,) = rescreen.rescreen()
    assert (back.after, back.gone) == ("pass", ("new-rule: review",))


def test_an_answer_whose_question_is_gone_is_left_out_and_one_that_is_contradicted_goes_to_a_person(sent: Any) -> None:
    screening = Screening.objects.get(application=sent)
    kept = {**screening.answers, "a-question-of-old": True}
    Screening.objects.filter(pk=screening.pk).update(answers=kept)
    assert rescreen.rescreen() == ()
    Screening.objects.filter(pk=screening.pk).update(answers={**kept, "social-scoring-in-context": True})
    (changed,) = rescreen.rescreen()
    assert changed.appeared == ("gate.answers-unclear: review",)


def test_the_command_tells_what_changed_and_refuses_what_is_no_date(sent: Any) -> None:
    said = StringIO()
    call_command("rescreen", stdout=said)
    assert said.getvalue() == "0 applications changed\n"
    with pytest.raises(CommandError, match="not a date"):
        call_command("rescreen", "--as-of", "soon")


def others(world: Any, count: int) -> list[Any]:
    return [submit(world.founder, a_form(title=f"Model {number}")) for number in range(count)]


def test_the_days_screening_is_done_in_shares_that_go_on_where_the_last_one_ended(sent: Any, world: Any) -> None:
    every = [sent, *others(world, 4)]
    moment, rules = now(), with_rule()
    came = [rescreen.share(moment, rules=rules, most=2) for _ in range(4)]
    assert came == [2, 2, 1, 0], "a share a tick, and then nothing more that day"
    flagged = Rescreening.objects.order_by("pk").values_list("screening__application", flat=True)
    assert list(flagged) == [one.pk for one in every], "each once"
    assert rescreen.share(moment, rules=rules, seconds=0) == 0
    assert rescreen.share(moment + timedelta(days=1)) == 5, "the next day asks all anew"
    assert RescreenPass.objects.count() == 1


def test_a_share_ends_with_its_time_and_new_rules_begin_the_day_anew(sent: Any, world: Any) -> None:
    others(world, 2)
    moment, added = now(), with_rule()
    assert [rescreen.share(moment, rules=added, seconds=0) for _ in range(4)] == [1, 1, 1, 0]
    newer = shipped().model_copy(update={"version": added.version + timedelta(days=1)})
    assert rescreen.share(moment, rules=newer) == 3, "they say again what was said at first"


def test_a_share_that_fails_half_way_goes_on_with_the_one_it_failed_at(
    sent: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    others(world, 3)
    real, asked = rescreen._again, []

    def breaks_at_the_third(pk: int, *given: Any) -> Any:
        asked.append(pk)
        if len(asked) == 3:
            raise RuntimeError("the process ends here")
        return real(pk, *given)

    monkeypatch.setattr(rescreen, "_again", breaks_at_the_third)
    with pytest.raises(RuntimeError):
        rescreen.share(now(), rules=with_rule())
    assert rescreen.share(now(), rules=with_rule()) == 2
    assert asked == sorted(asked) and len(asked) == len(set(asked)) + 1 and asked[2] == asked[3]
    assert Rescreening.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_of_two_processes_at_once_none_screens_what_the_other_did(shared_world: Any) -> None:
    bootstrap.publish_calls(by="test")
    count = len(others(shared_world, 8))
    answers = at_once([lambda: rescreen.share(now(), rules=with_rule())] * 3)
    assert all(isinstance(one, int) for one in answers), answers
    answers.append(rescreen.share(now(), rules=with_rule()))
    assert sum(answers) == Rescreening.objects.count() == count


def test_what_ended_is_asked_no_more_until_it_is_prolonged(world: Any) -> None:
    bootstrap.publish_calls(by="test")
    granted = reviewed(submit(world.founder, a_form()), world.officer)
    held = granted.grant(world.officer, reason="Sound.", override_reason="Seen.")
    assert list(rescreen.open_ones(held.ends)) == [granted.screening.pk]
    assert not rescreen.open_ones(held.ends + timedelta(days=1))
    type(held).objects.filter(pk=held.pk).update(ends=held.ends + timedelta(days=30))
    assert list(rescreen.open_ones(held.ends + timedelta(days=1))) == [granted.screening.pk]
