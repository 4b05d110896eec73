"""One run with a leg on each of several machines: what its legs agree on, and the files they send one another.

In a leg's run folder (paths: `rundir`) the job reads `outer.json` (OuterLaunch) and `exchange.key`, its private half;
it writes complete files into `outbox/`, which the courier carries, once each, into `inbox/` of every other leg. A name
sorts by outer step; a file is `OuterFile`'s header and bytes. Whatever else lies there is refused and said.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Positive, Seconds, Sha256, Timestamp

PublicKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]
"""Ed25519, 32 bytes in base64 (`hanse.tickets.keys.public_key_b64`)."""

Codec = Literal["fp32", "bf16", "int8", "int4"]
FileKind = Literal["part", "commit", "word"]

SUFFIX: Final = ".outer"
LARGEST_HEADER_BYTES: Final = 1 << 16


class OuterLeg(Contract):
    """One leg as all legs see it."""

    name: Identifier
    public_key: PublicKey
    """Of what the leg signs its files with; the private half goes to its machine's agent alone."""
    inner_steps: Positive | None = None
    """Steps of its own between two outer steps, fewer for a slower machine; None: those of the terms."""
    batch: Positive | None = None
    """Samples of one of its steps; None: `batch` of train.yaml."""


class OuterTerms(Contract):
    """What every leg of a run holds in the very same words: its `digest()` stands in every file and in the tickets.

    In a round each leg trains its inner steps and sends, fragment by fragment, how far its weights have moved; what was
    committed is merged in the order of `legs`, weighted by tokens, and one step of SGD with momentum is taken with it.
    """

    schema_version: Literal[1] = 1
    run_id: Identifier
    legs: tuple[OuterLeg, ...] = Field(min_length=1, max_length=64)
    """In order: the first says who took part, and while it is silent too long the next (`OuterWord`)."""
    inner_steps: Positive = 100
    codec: Codec = "fp32"
    """Of what is sent; with fewer bits than fp32 the rounding error goes into the next part (error feedback)."""
    fragments: Positive = 1
    """Parts of the model that are sent in turn, spread over a round."""
    overlap_steps: Count = 0
    """Inner steps between sending a fragment and needing what became of it; below the steps between two fragments."""
    lr: float = Field(default=0.7, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    wait_s: Seconds = 600.0
    """So long the leg that commits waits, from its own part on, for those of the others."""
    min_legs: Positive = 1
    """With fewer parts nothing is committed, however long it takes."""
    silent_s: Seconds | None = None
    """So long a leg waits for a commit, from its own part on, before it asks the others to follow the next leg in
    order; None: three times `wait_s`."""
    hold_s: Seconds | None = None
    """So long a leg holds its nodes while it waits for the others; then it saves and ends, and its next attempt goes
    on. None: as long as its job lasts."""
    late: Literal["skip", "carry"] = "carry"
    """Of a part that missed its commit. carry: the leg keeps what it learned and sends it with its next; skip: it is
    dropped. A leg that missed more than one takes the newest committed state."""
    round_s: Seconds | None = None
    """A leg whose round takes longer sends what it has; None: it always trains its inner steps."""
    data: Literal["shared", "own"] = "shared"
    """shared: all legs have the same prepared data, and each sample is read by one leg; own: each reads its own."""

    @model_validator(mode="after")
    def _consistent(self) -> OuterTerms:
        names = [each.name for each in self.legs]
        if len(set(names)) < len(names) or len({each.public_key for each in self.legs}) < len(names):
            raise ValueError("legs need names and keys of their own")
        if self.min_legs > len(names):
            raise ValueError(f"min_legs is {self.min_legs} of {len(names)} legs")
        for each in self.legs:
            if (steps := self.inner_steps_of(each.name)) < self.fragments:
                raise ValueError(f"leg {each.name}: {steps} inner steps are too few for {self.fragments} fragments")
            if self.overlap_steps and self.overlap_steps >= steps // self.fragments:
                raise ValueError(
                    f"leg {each.name}: overlap_steps must be below {steps // self.fragments}, the inner steps between "
                    "two fragments"
                )
        return self

    @property
    def silence_s(self) -> float:
        return 3 * self.wait_s if self.silent_s is None else self.silent_s

    def lead_of(self, epoch: int) -> str:
        """The leg that commits in an epoch."""
        return self.legs[epoch % len(self.legs)].name

    def enough(self, names: AbstractSet[str]) -> bool:
        """Whether these legs may decide for all: more than half, or half with the first of all. Two such groups
        always share a leg."""
        count = len(names & {each.name for each in self.legs})
        return 2 * count > len(self.legs) or (2 * count == len(self.legs) and self.legs[0].name in names)

    def leg(self, name: str) -> OuterLeg:
        """Raises KeyError for a leg that is none of this run's."""
        for each in self.legs:
            if each.name == name:
                return each
        raise KeyError(name)

    def inner_steps_of(self, name: str) -> int:
        return self.leg(name).inner_steps or self.inner_steps


class OuterLaunch(Contract):
    """`outer.json` in a leg's run folder: the terms, and which of their legs this is."""

    leg: Identifier
    terms: OuterTerms

    @model_validator(mode="after")
    def _one_of_them(self) -> OuterLaunch:
        if self.leg not in {each.name for each in self.terms.legs}:
            raise ValueError(f"{self.leg} is none of the legs of its terms")
        return self


class OuterPart(Contract):
    """How far one leg's fragment has moved since the last outer step it knows: old minus new, encoded."""

    kind: Literal["part"] = "part"
    run_id: Identifier
    terms_sha256: Sha256
    leg: Identifier
    outer_step: Count
    """Of this fragment, from 0."""
    fragment: Count
    epoch: Count = 0
    """In which the leg was: one that goes back, because others went on otherwise, sends another part than before."""
    base_sha256: Sha256
    """Of the fragment's weights, fp32, that it has moved from."""
    step: Count
    """The leg's own inner step at which it was taken."""
    tokens: Count
    """Trained on since its last part that was committed: its weight in the merge."""
    samples: Count
    values: Positive
    codec: Codec
    payload_bytes: Bytes
    payload_sha256: Sha256
    norm: float = Field(ge=0, allow_inf_nan=False)
    """Euclidean, of what was encoded."""
    at: Timestamp


class OuterShare(Contract):
    """A part that a commit names."""

    leg: Identifier
    part_sha256: Sha256
    """`digest()` of its OuterPart."""
    tokens: Count


class OuterCommit(Contract):
    """Who took part in one outer step of one fragment, and what came of it: every leg does the same sum."""

    kind: Literal["commit"] = "commit"
    run_id: Identifier
    terms_sha256: Sha256
    leg: Identifier
    """That wrote it."""
    epoch: Count = 0
    """How often the leg that commits has changed; of two commits of one outer step the later epoch's holds."""
    outer_step: Count
    fragment: Count
    previous_sha256: Sha256 | None = None
    """`digest()` of the commit before this one over all fragments; None: it is the run's first."""
    parts: tuple[OuterShare, ...] = Field(min_length=1)
    """In the order of the legs."""
    base_sha256: Sha256
    result_sha256: Sha256
    """Of the fragment's fp32 weights before and after."""
    waited_s: Seconds = 0.0
    at: Timestamp


class OuterWord(Contract):
    """A word between legs about who commits; it has no payload.

    `done`: I have applied the last commit of the run. `follow`: the leg that commits was silent too long; I take no
    more commits of epochs before this one, and this is the last that I have applied.
    """

    kind: Literal["word"] = "word"
    run_id: Identifier
    terms_sha256: Sha256
    leg: Identifier
    word: Literal["done", "follow"]
    epoch: Count
    applied: Count
    """How many commits."""
    last_commit_sha256: Sha256 | None = None
    last_epoch: Count = 0
    """Of that commit."""
    at: Timestamp


class OuterFile(Contract):
    """The header of a file: one line of JSON, then the payload's bytes (of a part) or nothing.

    `signature` is base64 of Ed25519 over `body.canonical()`, made with the key of the leg that the body names.
    """

    body: Annotated[OuterPart | OuterCommit | OuterWord, Field(discriminator="kind")]
    signature: str

    @property
    def name(self) -> str:
        """Its file's: sorts by outer step and fragment; of words by how far their leg was."""
        body = self.body
        if isinstance(body, OuterWord):
            return f"{body.word}-{body.epoch:04d}-{body.leg}{SUFFIX}"
        return f"step-{body.outer_step:06d}-{body.fragment:03d}-{body.kind}-{body.epoch:04d}-{body.leg}{SUFFIX}"


class OuterRow(Contract):
    """A line of `outer.jsonl`, the audit trail in a leg's run folder."""

    at: Timestamp
    what: Literal["sent", "committed", "applied", "late", "returned", "refused", "follows"]
    leg: Identifier
    """Whose trail it is."""
    attempt: Positive
    step: Count = 0
    """The leg's inner step."""
    outer_step: Count | None = None
    fragment: Count | None = None
    parts: tuple[OuterShare, ...] = ()
    result_sha256: Sha256 | None = None
    sent_bytes: Bytes = 0
    received_bytes: Bytes = 0
    waited_s: Seconds = 0.0
    """committed: for parts; applied: so long the leg's training stood still for it."""
    norm: float | None = None
    """Of what was sent, or of the merged pseudo-gradient."""
    reason: str = ""
    """Why a file was refused, with its name; or what became of a late part."""
