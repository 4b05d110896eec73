"""Who commits: the first leg, and where it is silent too long the next, once enough legs follow.

A leg that says `follow` takes no more commits of earlier epochs; the next leg commits from where the furthest of those
who follow stood. Two groups that are enough share a leg, so nothing that enough legs know is ever decided otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal

from hanse.contracts.base import now
from hanse.contracts.outer import OuterCommit, OuterTerms, OuterWord
from hanse.contracts.units import format_seconds
from hanse.training.outer import chain
from hanse.training.outer.mail import Mail
from hanse.training.outer.trail import Trail
from hanse.training.say import say


class Succession:
    """What one leg holds of it. `commits` are always the digests of those it has applied."""

    def __init__(self, terms: OuterTerms, name: str, mail: Mail, trail: Trail) -> None:
        self.terms, self.name, self.mail, self.trail = terms, name, mail, trail
        self.epoch = 0
        self._since = time.monotonic()
        self._ahead: tuple[tuple[int, int, str], Mapping[int, OuterCommit]] | None = None

    def heard(self) -> None:
        """The silence of the leg that commits is counted from now."""
        self._since = time.monotonic()

    def ahead(self, commits: Sequence[str]) -> Mapping[int, OuterCommit]:
        """Commits to be applied next, by number and without a gap.

        Raises:
            OffTheChain: others went on otherwise than with what was applied.
        """
        key = (self.mail.version, self.epoch, commits[-1] if commits else "")
        if self._ahead is None or self._ahead[0] != key:
            self._enter(commits)
            key = (self.mail.version, self.epoch, key[2])
            self._ahead = (key, self._following(commits))
        return self._ahead[1]

    def may_lead(self, applied: int) -> bool:
        """Whether it is this leg that commits what follows on so many commits."""
        if self.terms.lead_of(self.epoch) != self.name:
            return False
        tip = chain.newest(self.mail.found.commits)
        if self.epoch == 0 or (tip is not None and tip.epoch == self.epoch):
            return True
        word = chain.agreed(self.mail.found.words, self.terms, self.epoch)
        return word is not None and applied == word.applied

    def silent(self, commits: Sequence[str], *, over: bool) -> None:
        """Called while the leg waits: after too long a silence it follows the next leg in order."""
        enough = time.monotonic() - self._since >= self.terms.silence_s
        if over or len(self.terms.legs) == 1 or not enough or self.may_lead(len(commits)):
            return
        silent = self.terms.lead_of(self.epoch)
        self.epoch += 1
        self.heard()
        following, waited = self.terms.lead_of(self.epoch), format_seconds(self.terms.silence_s)
        say(f"leg {silent} has committed nothing for {waited}: leg {self.name} follows {following}")
        self.trail.note("follows", reason=f"{silent} was silent for {waited}; {following} is to commit")
        self.speak("follow", commits)

    def speak(self, word: Literal["done", "follow"], commits: Sequence[str]) -> None:
        last, number = commits[-1] if commits else None, len(commits) - 1
        known = self.mail.found.commits.get(number, {})
        self.mail.send(
            OuterWord(
                run_id=self.terms.run_id, terms_sha256=self.terms.digest(), leg=self.name, word=word, epoch=self.epoch,
                applied=len(commits), last_commit_sha256=last, at=now(),
                last_epoch=next((epoch for epoch, each in known.items() if each.digest() == last), 0),
            )
        )  # fmt: skip
        if word == "follow":
            # Those who follow may lack what the silent leg has sent to this one alone.
            self.mail.pass_on(max(0, len(commits) - self.terms.fragments))

    def known_to_enough(self, commits: Sequence[str]) -> bool:
        """Whether so many legs have applied the same last commit of the run that no others can decide otherwise."""
        done = (each for (word, _), each in self.mail.found.words.items() if word == "done")
        return self.terms.enough({each.leg for each in done if each.last_commit_sha256 == commits[-1]})

    def _decided(self) -> OuterCommit | None:
        """The run's last commit, if enough legs have applied it: it holds, whatever epoch this leg has entered."""
        knowing: dict[str, set[str]] = {}
        for (word, _), each in self.mail.found.words.items():
            if word == "done" and each.last_commit_sha256 is not None:
                knowing.setdefault(each.last_commit_sha256, set()).add(each.leg)
        digests = {digest for digest, legs in knowing.items() if self.terms.enough(legs)}
        if not digests:
            return None
        found = self.mail.found.commits.get(max(self.mail.found.commits, default=0), {})
        return next((each for each in found.values() if each.digest() in digests), None)

    def _enter(self, commits: Sequence[str]) -> None:
        """The latest epoch that anybody speaks of; its word is this leg's too, unless it has begun already."""
        found = self.mail.found
        own, tip = found.words.get(("follow", self.name)), chain.newest(found.commits)
        begun = tip.epoch if tip is not None else 0
        latest = max([begun, *(each.epoch for (word, _), each in found.words.items() if word == "follow")])
        if latest <= self.epoch:
            return
        self.epoch = latest
        self.heard()
        if begun < latest and (own is None or own.epoch < latest):
            self.speak("follow", commits)

    def _following(self, commits: Sequence[str]) -> Mapping[int, OuterCommit]:
        found = self.mail.found.commits
        if (last := self._decided()) is not None:
            return chain.following(last, found, commits, self.mail.number(last))
        tip = chain.newest(found)
        if tip is not None and tip.epoch >= self.epoch:
            return chain.following(tip, found, commits, self.mail.number(tip))
        word = chain.agreed(self.mail.found.words, self.terms, self.epoch)
        if word is None or self.terms.lead_of(self.epoch) != self.name:
            return {}
        # It is to commit: from where those who follow stood.
        if word.last_commit_sha256 is None:
            if commits:
                raise chain.OffTheChain(f"epoch {self.epoch} begins before any commit")
            return {}
        known = found.get(word.applied - 1, {}).values()
        last = next((each for each in known if each.digest() == word.last_commit_sha256), None)
        return chain.following(last, found, commits, word.applied - 1) if last is not None else {}
