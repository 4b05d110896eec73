"""Legs that are late, slow, absent, back again or cut off: what becomes of their work, and that all end the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hanse.training.outer.chain import OffTheChain
from hanse.training.outer.state import load
from tests.training.federation import BATCH, Member, agree, courier, finish, start
from tests.training.test_outer import same_everywhere
from tests.waiting import until

pytestmark = pytest.mark.torch


def holding(at: int, released: Callable[[], bool], what: str) -> Callable[[int], None]:
    """Ahead of inner step `at` a leg stands still until something has happened."""
    return lambda step: until(released, within_s=60, what=what, every_s=0.002) if step == at else None


@pytest.mark.parametrize(("late", "weighs"), [("carry", 6), ("skip", 4)])
def test_the_work_of_a_late_leg_goes_with_its_next_part_or_is_dropped(late: str, weighs: int, tmp_path: Path) -> None:
    terms = agree(2, inner_steps=4, wait_s=0.05, silent_s=600, late=late)
    first, second = (Member(tmp_path, terms, each.name, rounds=4) for each in terms.legs)
    # In the second round it has trained one step of four when the first leg commits without it.
    second.before = holding(
        6, lambda: any(second.run.inbox.glob("step-000001-000-commit-*")), "a commit without the second leg"
    )
    together = holding(9, lambda: bool(second.rows("late")), "the second leg's coming")

    def patient(step: int) -> None:
        together(step)
        if step in (4, 12, 16):
            part = f"step-{step // 4 - 1:06d}-000-part-*-leonardo.outer"
            until(lambda: list(first.run.inbox.glob(part)), within_s=60, what="the second leg's part", every_s=0.002)

    first.before = patient
    with courier(tmp_path):
        finish(start(first, second), first, second)
    same_everywhere([first, second])
    parts = [{share.leg: share.tokens // BATCH for share in row.parts} for row in second.rows("applied")]
    assert parts[0] == {"lumi": 4, "leonardo": 4} and parts[1] == {"lumi": 4}
    assert parts[2] == {"lumi": 4, "leonardo": weighs} and parts[3] == {"lumi": 4, "leonardo": 4}
    (row,) = second.rows("late")
    assert (row.outer_step, row.step) == (1, 6) and len(second.losses) == 14, "steps it passed over it did not train"


def test_a_leg_that_comes_late_takes_the_newest_state_and_takes_part_from_then_on(tmp_path: Path) -> None:
    terms = agree(2, inner_steps=4, wait_s=0.02, silent_s=600, fragments=2)
    first, second = (Member(tmp_path, terms, each.name, rounds=5) for each in terms.legs)
    first.before = holding(13, lambda: bool(second.rows("returned")), "the second leg's coming")
    with courier(tmp_path):
        threads = start(first)
        files = lambda: (len(list(second.run.inbox.glob(f"*-{kind}-*"))) for kind in ("part", "commit"))  # noqa: E731
        until(lambda: min(files()) >= 5, within_s=60, what="five outer steps of one leg", every_s=0.002)
        finish([*threads, *start(second)], first, second)
    same_everywhere([first, second])
    (row,) = second.rows("returned")
    assert row.step == 0 and row.outer_step is not None and row.outer_step >= 2
    assert len(second.losses) <= 10, "what it missed it does not train"


def test_nobody_waits_for_a_leg_that_was_given_up(tmp_path: Path) -> None:
    terms = agree(3, inner_steps=3, wait_s=600, silent_s=6000)
    first, second = (Member(tmp_path, terms, each.name, rounds=3) for each in terms.legs[:2])
    for each in (first, second):
        each.run.absent.write_text('["mn5"]')
    with courier(tmp_path):
        finish(start(first, second), first, second)
    same_everywhere([first, second])
    assert [len(row.parts) for row in first.rows("committed")] == [2, 2, 2]


def test_with_fewer_legs_than_the_terms_ask_for_nothing_is_committed(tmp_path: Path) -> None:
    terms = agree(3, inner_steps=3, wait_s=0.0, min_legs=2, silent_s=600)
    members = [Member(tmp_path, terms, each.name, rounds=4) for each in terms.legs]
    with courier(tmp_path):
        threads = start(members[0])
        until(lambda: bool(members[0].rows("sent")), within_s=60, what="the first leg's part", every_s=0.002)
        assert not members[0].rows("committed")
        finish([*threads, *start(*members[1:])], *members)
    same_everywhere(members)
    assert all(len(row.parts) >= 2 for row in members[0].rows("applied"))


def test_a_leg_whose_round_takes_too_long_sends_what_it_has(tmp_path: Path) -> None:
    terms = agree(2, inner_steps=40, round_s=0.2)
    first, second = (Member(tmp_path, terms, each.name, rounds=2) for each in terms.legs)
    began = time.monotonic()
    second.before = holding(4, lambda: time.monotonic() - began > 0.5, "a round's time")
    with courier(tmp_path):
        finish(start(first, second), first, second)
    same_everywhere([first, second])
    sent = second.rows("sent")[0]
    assert sent.step <= 4 and sent.parts[0].tokens == sent.step * BATCH
    assert len(second.losses) < second.calendar.steps == second.step


def test_a_leg_asked_to_stop_while_it_waits_goes_on_waiting_in_its_next_attempt(tmp_path: Path) -> None:
    terms = agree(2, inner_steps=4)
    first, second = (Member(tmp_path, terms, each.name, rounds=3) for each in terms.legs)
    threads = start(first)
    until(lambda: bool(first.rows("sent")), within_s=60, what="the first part", every_s=0.002)
    first.stop.set()
    finish(threads, first)
    assert first.leg.stopped and first.step == 4 and not first.rows("applied")
    first.save()
    again = Member(tmp_path, terms, first.name, rounds=3, attempt=2)
    with courier(tmp_path):
        finish(start(again, second), again, second)
    same_everywhere([again, second])
    assert len(again.rows("sent")) == 3, "what was sent is not sent again"


def test_a_leg_holds_its_nodes_only_as_long_as_the_terms_say(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    terms = agree(2, inner_steps=4, hold_s=0.05)
    member = Member(tmp_path, terms, "lumi", rounds=3)
    finish(start(member), member)
    assert member.leg.stopped and not member.leg.done and member.step == 4
    assert "waits at outer step 1 of 3: no part yet from leonardo; after" in capfd.readouterr().out


def test_a_first_leg_that_was_cut_off_goes_back_to_where_it_agreed_with_the_others(tmp_path: Path) -> None:
    terms = agree(3, inner_steps=4, wait_s=0.1, silent_s=0.4)
    first, *others = members = [Member(tmp_path, terms, each.name, rounds=4) for each in terms.legs]
    apart = threading.Event()
    for each in members:
        each.before = holding(5, apart.is_set, "the cut")
    held = first.before

    def saving(step: int) -> None:
        if step == 5:
            first.save()
        held(step)

    first.before = saving
    threads = start(*members)
    with courier(tmp_path):
        until(
            lambda: all(each.rows("applied") for each in members), within_s=60, what="an outer step of all",
            every_s=0.002,
        )  # fmt: skip
    with courier(tmp_path, only=[each.name for each in others]):
        apart.set()
        finish(threads[1:], *others)
        until(lambda: len(first.rows("committed")) >= 4, within_s=60, what="commits of the first alone", every_s=0.002)
        assert threads[0].is_alive() and not first.leg.done, "alone, of three, it must not end"
    assert others[0].rows("follows") or others[1].rows("follows")
    with courier(tmp_path):
        threads[0].join(60)
        assert isinstance(first.ended, OffTheChain)
        again = Member(tmp_path, terms, first.name, rounds=4, attempt=2)
        finish(start(again), again)
    same_everywhere([again, *others])
    rows = {row.outer_step: row for row in again.rows("applied") if row.attempt == 2}
    assert [row.result_sha256 for row in others[0].rows("applied")][1:] == [
        row.result_sha256 for step, row in sorted(rows.items()) if step
    ]


def test_of_two_legs_the_second_alone_waits_for_the_first(tmp_path: Path) -> None:
    terms = agree(2, inner_steps=4, wait_s=0.02, silent_s=0.05)
    first, second = (Member(tmp_path, terms, each.name, rounds=3) for each in terms.legs)
    with courier(tmp_path):
        threads = start(second)
        until(lambda: len(second.rows("follows")) >= 2, within_s=60, what="asking for another to commit", every_s=0.002)
        assert not second.rows("committed"), "both alone would go two ways"
        finish([*start(first), *threads], first, second)
    same_everywhere([first, second])


def test_from_another_legs_checkpoint_a_leg_takes_the_outer_steps_alone(tmp_path: Path) -> None:
    terms = agree(2, inner_steps=4, codec="int4")
    first, second = (Member(tmp_path, terms, each.name, rounds=2) for each in terms.legs)
    threads = start(first)
    until(lambda: bool(first.rows("sent")), within_s=60, what="the first part", every_s=0.002)
    first.stop.set()
    finish(threads, first)
    first.save()
    own, theirs = (load(first.checkpoints[0], leg=each.name, sizes=first.sizes) for each in (first, second))
    assert own is not None and own.step == 4 and own.fragments[0].pending is not None
    assert theirs is not None and theirs.step == 0 and theirs.commits == own.commits
    assert theirs.fragments[0].pending is None and not theirs.fragments[0].residual.any()
    assert own.fragments[0].residual.any() and theirs.fragments[0].sha256 == own.fragments[0].sha256
    assert load(first.checkpoints[0], leg=first.name, sizes=[7]) is None, "of another model"
