"""What `hanse demo` does, in its order. Nothing here is special: each step is what the verb of its name does.

Told in the second person, as the reader is team and officer in one on this machine.
"""

from __future__ import annotations

import math
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from hanse.cli import connect, embedded, launching, planning, views
from hanse.cli.calibrate import calibrated
from hanse.cli.checks import examine
from hanse.cli.compute import hours_for
from hanse.cli.home import home, short
from hanse.cli.output import require_file_can_be
from hanse.cli.plaintext import plain
from hanse.cli.story import INDENT, Story
from hanse.cli.watch import follow, keeps_going
from hanse.contracts import jobenv
from hanse.contracts.errors import HanseError, UsageError
from hanse.contracts.units import (
    SECONDS_PER_HOUR,
    format_bytes,
    format_count,
    format_gpu_hours,
    format_seconds,
    significant,
)

if TYPE_CHECKING:
    from rich.console import Console

    from hanse.client.api import Client
    from hanse.contracts.machine import Machine
    from hanse.contracts.plan import Plan
    from hanse.contracts.programme import Allocation
    from hanse.contracts.record import RunRecord
    from hanse.contracts.run import Run
    from hanse.contracts.spec import TrainSpec

EXAMPLE = Path("stdlib-lm") / "train.yaml"
SAMPLE_LINES = 14


def example_spec() -> Path:
    """The example's train.yaml: that of a clone of the project, else a copy written here for the reader to change.

    Beside the copy lies the JSON Schema its first line names, for completion and checks in editors.
    """
    in_clone = Path("examples") / EXAMPLE
    if in_clone.exists():
        return in_clone
    if not EXAMPLE.exists():
        from hanse.workloads.schema import schema_text

        EXAMPLE.parent.mkdir(exist_ok=True)
        EXAMPLE.with_name("train.schema.json").write_text(schema_text(), encoding="utf-8")
        EXAMPLE.write_text(files("hanse.cli").joinpath("stdlib-lm", "train.yaml").read_text("utf-8"), encoding="utf-8")
    return EXAMPLE


def printable(text: str) -> list[str]:
    """Lines safe to show: a small model writes control characters too, and a terminal would obey them."""
    return plain(text.expandtabs(4)).splitlines()


class Journey:
    """One demo. Steps hand each other what they made; a failure ends it with one message."""

    def __init__(self, console: Console, out: Path) -> None:
        self.story = Story(console)
        self.out = out

    def travel(self) -> None:
        self._require_ground()
        self.story.title("Hanse demo: from a call for compute to a trained model, on this machine")
        try:
            client = self.start()
            spec_path, spec = self.read()
            allocation = self.apply(client, spec)
            machine = self.measure()
            plan = self.plan(spec, spec_path, machine)
        except KeyboardInterrupt:
            typer.echo(
                "\nInterrupted before the training began; nothing is lost. 'hanse demo' goes on from here; "
                "'hanse serve --stop' stops the service in the background.",
                err=True,
            )
            raise typer.Exit(130) from None
        run = self.train(client, spec, spec_path, plan, allocation)
        self.close(client, run, spec_path)

    def _require_ground(self) -> None:
        given = [name for name in (jobenv.URL, jobenv.TOKEN) if os.environ.get(name)] or (
            [short(home().config)] if home().config.exists() else []
        )
        if given:
            raise UsageError(
                f"The demo plays on a service of its own, and {' and '.join(given)} names another.",
                fix="Run it without: env -u HANSE_URL -u HANSE_TOKEN HANSE_HOME=/tmp/hanse-demo hanse demo",
            )
        require_file_can_be(self.out)
        embedded.refuse_here(home())
        lacking = [check for check in examine() if check.blocks_demo]
        if lacking:
            raise HanseError(
                "This machine lacks something the demo needs.",
                fix="'hanse doctor' shows the whole picture.",
                history=tuple(f"{check.name}: {check.found}. {check.fix}" for check in lacking),
            )

    def start(self) -> Client:
        from hanse.client.api import Client

        self.story.step("The service and this machine's agent")
        running = embedded.service_status() is not None
        with self.story.waiting("Starting the service and the agent" if not running else "Looking for the service"):
            service = embedded.ensure()
        self.story.done(f"The service {'was' if running else 'is now'} running at {service.url}")
        self.story.done(f"The agent of this machine reports to it; all state is in {short(home().root)}")
        return Client(service.url, service.token)

    def read(self) -> tuple[Path, TrainSpec]:
        from hanse.workloads.load import load_spec

        path = example_spec()
        return path, load_spec(path)

    def apply(self, client: Client, spec: TrainSpec) -> Allocation:
        self.story.step("Compute: a call, an application, a decision")
        return hours_for(client, self.story, round(spec.where.max_gpu_hours * SECONDS_PER_HOUR))

    def measure(self) -> Machine:
        self.story.step("This machine, measured")
        with self.story.waiting("Measuring matrix products, memory and the link between two processes (under 30 s)"):
            machine, fresh = calibrated()
            if fresh:
                embedded.restart_agent()
        measured = machine.calibration
        assert measured is not None
        rate, memory = max(measured.matmul.y) / 1e9, format_bytes(measured.memory_bytes_per_s)
        link = f", {format_bytes(max(measured.all_reduce.y))}/s between them" if measured.all_reduce else ""
        when = "Measured just now" if fresh else f"Measured {views.when(measured.measured_at)} and still true"
        self.story.done(
            f"{when}: {significant(rate)} GFLOP/s and {memory}/s a rank{link}, with {measured.ranks} ranks busy at once"
        )
        return machine

    def plan(self, spec: TrainSpec, spec_path: Path, machine: Machine) -> Plan:
        self.story.step(f"The plan for {short(spec_path)}")
        if spec_path == EXAMPLE:
            self.story.say(f"({short(spec_path)} was laid into this folder; it is yours to change.)", "")
        plan = planning.plan_for(spec, spec_path, machine)
        from hanse.cli import plan_views

        self.story.say(plan_views.overview(plan, machine))
        return plan

    def train(self, client: Client, spec: TrainSpec, spec_path: Path, plan: Plan, allocation: Allocation) -> Run:
        self.story.step("Training")
        run = launching.start(client, spec, spec_path, allocation, plan)
        self.story.say(
            f"{run.id}: {plan.layout.world_size} ranks on {plan.layout.nodes} nodes of this machine, meeting over a "
            f"rendezvous as they would on a supercomputer. Ctrl-C stops looking, not the run.",
            "",
        )
        try:
            run = follow(client, run, self.story.console, connect.client, indent=INDENT)
        except KeyboardInterrupt:
            typer.echo(
                keeps_going(run.id) + f"\n  hanse report {run.id}            its report, once it has finished", err=True
            )
            raise typer.Exit(130) from None
        launching.require_finished(client, run)
        return run

    def close(self, client: Client, run: Run, spec_path: Path) -> None:
        from hanse.reporting.run_report import render

        self.story.step("What came of it")
        record = client.record(run.id)
        self.out.write_text(render(record), encoding="utf-8")
        self._result(record)
        self._bill(record)
        self.story.done(f"Report: {short(self.out)} (one file; open it in a browser)")
        self.story.step("Where to go from here")
        self._commands(run, spec_path)
        link = client.login_link()
        self.story.say("", "The portal, already signed in (the link opens once, within ten minutes):", Text(link.url))

    def _result(self, record: RunRecord) -> None:
        result = record.result
        if result is None:
            raise HanseError(f"{record.run.id} finished without a result.", fix=f"hanse logs {record.run.id}")
        gain = math.exp(result.unigram_entropy - result.final_loss)
        self.story.done(
            f"Loss {result.final_loss:.3f} nats a token; knowing only how often each token occurs gives "
            f"{result.unigram_entropy:.3f}: {significant(gain, 2)} times less perplexed"
        )
        self.story.done(
            f"{format_count(result.tokens)} tokens in {result.steps:,} steps, {format_count(result.parameters)} "
            f"parameters, {format_seconds(result.training_s)} of training"
        )
        lines = printable(result.sample_prompt + result.sample_text)[:SAMPLE_LINES]
        self.story.say("", Text("What it writes now (Python, nearly):", style="dim"))
        self.story.say(*(Text(f"│ {line}") for line in lines), "")

    def _bill(self, record: RunRecord) -> None:
        held, plan = record.allocations[0], record.run.plan
        used = sum(entry.accelerator_seconds for entry in record.usage)
        granted = format_gpu_hours(held.granted_accelerator_seconds)
        self.story.done(
            f"Charged to {held.id}: {format_gpu_hours(used)}, as the scheduler measured. "
            f"In all {format_gpu_hours(held.used_accelerator_seconds)} of {granted} are used"
        )
        if plan is not None and not plan.wall_time_s.low <= used / plan.layout.world_size <= plan.wall_time_s.high:
            word = "more" if used > plan.accelerator_seconds else "less"
            self.story.open(
                f"That is {word} than the plan's {format_gpu_hours(plan.accelerator_seconds)}. A plan assumes that "
                "nothing else keeps this machine busy, as on a supercomputer's own nodes"
            )

    def _commands(self, run: Run, spec_path: Path) -> None:
        shown = short(spec_path)
        self.story.say(
            views.pairs(
                [
                    (f"hanse plan {shown} -m leonardo", "the same training on a real supercomputer"),
                    (f"hanse launch {shown} --watch", "change that file first: more layers, other data"),
                    (f"hanse logs {run.id}", "what its job wrote; hanse status lists your runs"),
                ],
                indent=0,
            )
        )
