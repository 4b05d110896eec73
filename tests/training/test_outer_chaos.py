"""Whatever dies, is cut off or falls behind, and whoever commits: no two legs end with different weights."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hanse.contracts.outer import OuterTerms
from hanse.training.outer.chain import OffTheChain
from tests.training.federation import Killed, Member, agree, carry, finish
from tests.training.test_outer import same_everywhere

pytestmark = [pytest.mark.torch, pytest.mark.crash]

ROUNDS = 5
TROUBLE_S = 3.0
"""So long legs are killed and cut off; then they may come to an end."""


class Fate:
    """One leg through its attempts: killed at random steps, at a random pace."""

    def __init__(self, root: Path, terms: OuterTerms, name: str, seed: int, making: threading.Lock) -> None:
        self.root, self.terms, self.name, self.making = root, terms, name, making
        self.random = random.Random(seed)
        self.member: Member | None = None
        self.went_back = 0
        self.ended: BaseException | None = None

    def live(self) -> None:
        try:
            for attempt in range(1, 100):
                # Models are built from torch's one generator.
                with self.making:
                    self.member = Member(self.root, self.terms, self.name, rounds=ROUNDS, attempt=attempt)
                if self._attempted(self.member, dies=attempt < 4 and self.random.random() < 0.6):
                    return
        except BaseException as error:  # told by `finish`
            self.ended = error

    def _attempted(self, member: Member, *, dies: bool) -> bool:
        last, pace_s = self.random.randint(1, member.calendar.steps), self.random.choice([0, 0, 0.01, 0.03])

        def before(step: int) -> None:
            threading.Event().wait(pace_s * self.random.random())
            if step % 3 == 1 and step > 1:
                member.save()
            if dies and step >= last:
                raise Killed

        member.before = before
        try:
            member.train()
        except Killed:
            return False
        except OffTheChain:
            self.went_back += 1
            return False
        return True


def carrying(root: Path, names: Sequence[str], seed: int, over: threading.Event) -> None:
    """A courier whom now and then only some of the legs can reach."""
    chance, began = random.Random(seed), time.monotonic()
    only: list[str] | None = None
    while not over.wait(0.003):
        carry(root, only=only)
        if time.monotonic() - began > TROUBLE_S:
            only = None
        elif chance.random() < 0.01:
            only = None if chance.random() < 0.5 else chance.sample(names, chance.randint(0, len(names) - 1))


@pytest.mark.parametrize("seed", [1, 7, 16, 25, 51, 59])
def test_through_kills_and_cuts_all_legs_come_to_the_same_end(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    terms = agree(
        chance.choice([2, 3, 3, 4]), inner_steps=chance.choice([4, 6]), fragments=chance.choice([1, 2]),
        overlap_steps=chance.choice([0, 1]), codec=chance.choice(["fp32", "int8", "int4"]), wait_s=0.03, silent_s=0.12,
        late=chance.choice(["carry", "skip"]),
    )  # fmt: skip
    names, making, over = [each.name for each in terms.legs], threading.Lock(), threading.Event()
    fates = [Fate(tmp_path, terms, name, 10 * seed + n, making) for n, name in enumerate(names)]
    threads = [threading.Thread(target=each.live, daemon=True) for each in fates]
    courier = threading.Thread(target=carrying, args=(tmp_path, names, seed, over), daemon=True)
    for thread in (courier, *threads):
        thread.start()
    try:
        finish(threads, *fates, within_s=120)
    finally:
        over.set()
        courier.join()
    members = [each.member for each in fates if each.member is not None]
    assert len(members) == len(names) and np.isfinite(same_everywhere(members)).all()
    assert all(each.leg.state.applied == each.calendar.numbers for each in members)
