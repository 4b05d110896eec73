"""Legs of one run in threads of this process, each with a folder of its own, and a courier between the folders."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from hanse.contracts.outer import OuterLaunch, OuterLeg, OuterRow, OuterTerms
from hanse.contracts.rundir import RunDir
from hanse.tickets import keys
from hanse.training.outer import trail
from hanse.training.outer.fragments import fragments_of
from hanse.training.outer.leg import Leg
from hanse.training.outer.mail import Mail
from hanse.training.outer.quantise import Values
from hanse.training.outer.state import OuterState, load, said_by
from hanse.training.outer.steps import Calendar

BATCH, FEATURES, WIDTH = 4, 6, 5
NAMES = ("lumi", "leonardo", "mn5", "jupiter", "meluxina", "vega", "karolina", "discoverer")


def private_key(number: int) -> bytes:
    return bytes([number + 1]) * 32


def agree(legs: int, **changes: object) -> OuterTerms:
    """Terms of so many legs; without hurry, so that nobody is late who is not meant to be."""
    named = changes.pop("named", None) or [{} for _ in range(legs)]
    listed = [
        OuterLeg(name=NAMES[n], public_key=keys.public_key_b64(private_key(n)), **each)
        for n, each in enumerate(named)  # type: ignore[arg-type, var-annotated]
    ]
    return OuterTerms.model_validate({"run_id": "run-1", "legs": listed, "wait_s": 600, **changes})


def model_of() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))


def samples(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of an endless sequence, each from its number alone."""
    rows = torch.stack(
        [torch.from_numpy(np.random.default_rng(n).normal(size=FEATURES)) for n in range(first, first + count)]
    )
    rows = rows.to(torch.float32)
    return rows, torch.sin(rows[:, :1]) - 0.5 * rows[:, 1:2]


def loss_of(model: nn.Module, first: int, count: int = BATCH) -> torch.Tensor:
    inputs, wanted = samples(first, count)
    return (model(inputs) - wanted).square().mean()


class Task(NamedTuple):
    """What legs train: a model, the same from every call, and its loss on so many samples from one on."""

    model: Callable[[], nn.Module]
    loss: Callable[[nn.Module, int, int], torch.Tensor]
    batch: int


TOY = Task(model_of, loss_of, BATCH)


class Weights:
    """A module's parameters as an outer leg reads and writes them."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = dict(model.named_parameters())

    @property
    def sizes(self) -> dict[str, int]:
        return {name: each.numel() for name, each in self.parameters.items()}

    def read(self, names: Sequence[str]) -> Values:
        return torch.cat([self.parameters[name].detach().reshape(-1) for name in names]).numpy().copy()

    def write(self, names: Sequence[str], values: Values) -> None:
        pieces = torch.from_numpy(values).split([self.parameters[name].numel() for name in names])
        for name, piece in zip(names, pieces, strict=True):
            self.parameters[name].data.copy_(piece.view_as(self.parameters[name]))

    def idle(self) -> None:
        pass


class Killed(BaseException):
    """What a leg in a thread has instead of kill -9."""


class Member:
    """One leg with its model and optimiser, for so many rounds or `samples`; `before` is called ahead of every inner
    step."""

    def __init__(
        self, root: Path, terms: OuterTerms, name: str, *, rounds: int = 1, attempt: int = 1,
        optimiser: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer] | None = None,
        before: Callable[[int], None] = lambda step: None, task: Task = TOY, samples: int | None = None,
    ) -> None:  # fmt: skip
        self.run, self.name, self.terms, self.before = RunDir(root / name), name, terms, before
        self.run.root.mkdir(parents=True, exist_ok=True)
        self.task, self.model = task, task.model()
        self.weights = Weights(self.model)
        self.fragments = fragments_of(self.weights.sizes, terms.fragments)
        self.sizes = [sum(self.weights.sizes[name] for name in names) for names in self.fragments]
        self.calendar = self.calendar_of(terms, name, rounds)
        if samples is not None:
            self.calendar = Calendar.of(terms, name, batch=task.batch, total_samples=samples)
        make = optimiser or (lambda parameters: torch.optim.AdamW(parameters, lr=0.01))
        self.optimiser = make(list(self.model.parameters()))
        place = [each.name for each in terms.legs].index(name)
        notes = trail.Trail(self.run.outer_rows, name, attempt)
        mail = Mail(self.run, OuterLaunch(leg=name, terms=terms), private_key(place), self.sizes, notes)
        self.stop = threading.Event()
        self.leg = Leg(
            OuterLaunch(leg=name, terms=terms), self.calendar, mail, self.weights, notes, fragments=self.fragments,
            tokens_per_step=self.calendar.batch, stop_asked=self.stop.is_set, poll_s=0.002,
        )  # fmt: skip
        self.step, self.losses = 0, list[float]()
        self.ended: BaseException | None = None

    @staticmethod
    def calendar_of(terms: OuterTerms, name: str, rounds: int) -> Calendar:
        reads = sum(terms.inner_steps_of(each.name) * (each.batch or BATCH) for each in terms.legs)
        return Calendar.of(terms, name, batch=BATCH, total_samples=rounds * reads)

    def train(self) -> None:
        self.step = self.leg.resume(self._restored(), self.step)
        while self.step < self.calendar.steps and not self.leg.stopped:
            self.before(self.step + 1)
            loss = self.task.loss(self.model, self.calendar.first_sample(self.step + 1), self.calendar.batch)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.losses.append(float(loss.detach()))
            self.step = self.leg.after(self.step + 1)

    # Checkpoints hold model, inner optimiser and outer state, as the trainer's do, and stay as long as those.

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self.run.root.glob("step-*"), reverse=True)

    def save(self) -> None:
        folder = self.run.root / f"step-{self.leg.state.step:08d}"
        folder.mkdir(exist_ok=True)
        self.leg.state.save(folder)
        torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}, folder / "inner.pt")
        said = {each: said_by(each) for each in self.checkpoints}
        firm = [each for each, state in said.items() if state and len(state.commits) <= self.leg.agreed]
        for each in self.checkpoints[2:]:
            if each not in firm[:1]:
                shutil.rmtree(each)
        self.leg.tidy(min((len(state.commits) for each, state in said.items() if state and each in firm), default=0))

    def _restored(self) -> OuterState | None:
        for folder in self.checkpoints:
            state = load(folder, leg=self.name, sizes=self.sizes)
            if state is None or self.leg.otherwise(state.commits):
                shutil.rmtree(folder)
                continue
            inner = torch.load(folder / "inner.pt")
            self.model.load_state_dict(inner["model"])
            self.optimiser.load_state_dict(inner["optimiser"])
            self.step = state.step
            return state
        return None

    @property
    def final(self) -> Values:
        return self.weights.read(list(self.weights.sizes))

    def rows(self, what: str | None = None) -> list[OuterRow]:
        return [each for each in trail.read(self.run.outer_rows) if what in (None, each.what)]


def carry(root: Path, *, inside: str = ".", only: Sequence[str] | None = None) -> None:
    """What the courier does: every whole file of an outbox, once, into the inboxes of the others.

    `inside` every folder of `root` lies a leg's run; `only` these legs' files travel.
    """
    homes = [each for each in root.iterdir() if each.is_dir()]
    for sender in homes:
        outbox = sender / inside / "outbox"
        for file in sorted(outbox.glob("[!.]*")) if outbox.is_dir() else ():
            for receiver in homes:
                if receiver == sender or (only is not None and not {sender.name, receiver.name} <= set(only)):
                    continue
                target = receiver / inside / "inbox" / file.name
                if target.exists() or target.with_name(f"{file.name}.refused").exists():
                    continue
                target.parent.mkdir(exist_ok=True)
                beside = target.with_name(f".{file.name}.carried")
                try:
                    shutil.copyfile(file, beside)
                except FileNotFoundError:  # its leg has just removed it
                    continue
                beside.rename(target)


@contextmanager
def courier(root: Path, *, inside: str = ".", only: Sequence[str] | None = None) -> Iterator[None]:
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.002):
            carry(root, inside=inside, only=only)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def start(*members: Member) -> list[threading.Thread]:
    def life(member: Member) -> None:
        torch.set_num_threads(1)
        try:
            member.train()
        except BaseException as error:  # told by `finish`
            member.ended = error

    threads = [threading.Thread(target=life, args=(each,), daemon=True) for each in members]
    for each in threads:
        each.start()
    return threads


class Ended(Protocol):
    ended: BaseException | None


def finish(threads: Sequence[threading.Thread], *members: Ended, within_s: float = 60.0) -> None:
    for each in threads:
        each.join(within_s)
    for member in members:
        if member.ended is not None:
            raise member.ended
    assert not any(each.is_alive() for each in threads), "a leg waits in vain"


def train_together(root: Path, terms: OuterTerms, *, rounds: int, **how: object) -> list[Member]:
    """All legs, undisturbed, to their ends."""
    members = [Member(root, terms, each.name, rounds=rounds, **how) for each in terms.legs]  # type: ignore[arg-type]
    with courier(root):
        finish(start(*members), *members)
    return members
