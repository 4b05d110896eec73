"""Run records as the service would make them, of several kinds: finished, under way, failed, command, hostile."""

from __future__ import annotations

from hanse.contracts.across_record import AcrossRecord, LegRecord, LegTally, OuterHappening, OuterSpan
from hanse.contracts.decision import Decision, Finding
from hanse.contracts.outer import OuterLeg, OuterTerms
from hanse.contracts.record import RunRecord
from hanse.contracts.run import Attempt, AttemptState, Leg, Run, RunState
from hanse.contracts.spec import CommandSpec, TrainSpec, WhereSpec
from hanse.contracts.usage import UsageEntry
from tests.reporting.parts import (
    START,
    STEPS,
    after,
    allocation,
    application,
    attempt,
    gate,
    machine,
    plan,
    result,
    rows,
    spec,
)


def record(state: RunState, attempts: tuple[Attempt, ...], **parts: object) -> RunRecord:
    """One run on one leg; `parts` overrides fields of Run and RunRecord."""
    used = sum(one.accelerator_seconds for one in attempts)
    leg = Leg(id="leg-1", run_id="run-7f3a", machine="local", allocation_id="alloc-0001", attempts=attempts)
    run = {
        "id": "run-7f3a",
        "name": "stdlib-lm",
        "project": "norrlyd",
        "state": state,
        "spec": spec(),
        "spec_hash": "7c" * 32,
        "plan": plan(),
        "legs": (leg,),
        "created_at": START,
        "created_by": "ida@norrlyd.example",
        "steps": STEPS,
        "used_accelerator_seconds": used,
    }
    whole = {
        "machines": (machine(),),
        "allocations": (allocation(used),),
        "application": application(),
        "gate": gate(),
        "usage": (
            UsageEntry(id="use-1", allocation_id="alloc-0001", accelerator_seconds=used, recorded_at=after(183)),
        ),
        "made_at": after(190),
    }
    whole["across"] = parts.pop("record_across", None)
    for key, value in parts.items():
        (run if key in Run.model_fields else whole)[key] = value
    return RunRecord.model_validate({**whole, "run": Run.model_validate(run)})


def finished() -> RunRecord:
    return record(
        RunState.FINISHED,
        (attempt(1, AttemptState.FINISHED, 0, 3, 182, last_step=STEPS, reason=""),),
        telemetry=rows(1, STEPS),
        result=result(),
        step=STEPS,
        ended_at=after(182),
    )


def interrupted() -> RunRecord:
    """Lost a node, went on from the checkpoint of step 80, finished slower than predicted."""
    tries = (
        attempt(1, AttemptState.FAILED, 0, 3, 82, last_step=97, reason="node lrdn0387 was lost", exit_code=137),
        attempt(2, AttemptState.STOPPED, 83, 130, 210, last_step=160, reason="time limit, checkpoint saved"),
        attempt(3, AttemptState.FINISHED, 212, 240, 330, last_step=STEPS),
    )
    told = (*rows(1, 97), *rows(81, 160, attempt=2, start_s=139, step_s=0.9), *rows(161, STEPS, attempt=3, start_s=248))
    return record(
        RunState.FINISHED,
        tries,
        telemetry=told,
        result=result(),
        step=STEPS,
        ended_at=after(330),
        made_at=after(400),
        usage=(
            UsageEntry(
                id="u1",
                allocation_id="alloc-0001",
                accelerator_seconds=498,
                energy_joules=41_000,
                recorded_at=after(331),
            ),
            UsageEntry(
                id="u2",
                allocation_id="alloc-0001",
                accelerator_seconds=-158,
                kind="correction",
                recorded_at=after(360),
                note="the site gave back attempt 1",
            ),
        ),
    )


def under_way() -> RunRecord:
    running = attempt(1, AttemptState.RUNNING, 0, 3, None, last_step=96)
    return record(
        RunState.RUNNING,
        (running,),
        telemetry=rows(1, 96),
        step=96,
        made_at=after(75),
        allocations=(allocation(0, 412),),
        usage=(),
    )


def across() -> RunRecord:
    """Three legs at once, four fragments: the second was late once, the third was given up after its third step."""
    names = ("leonardo", "lumi", "karolina")
    terms = OuterTerms(
        run_id="run-7f3a", inner_steps=60, fragments=4, codec="int8",
        legs=tuple(OuterLeg(name=name, public_key=f"{place}" * 43 + "=") for place, name in enumerate(names)),
    )  # fmt: skip
    tries = {
        "leonardo": attempt(1, AttemptState.FINISHED, 0, 3, 182, last_step=STEPS, reason=""),
        "lumi": attempt(1, AttemptState.FINISHED, 0, 20, 196, last_step=STEPS, reason=""),
        "karolina": attempt(1, AttemptState.FAILED, 0, 3, 120, last_step=150, reason="node k12 was lost"),
    }
    legs = tuple(
        Leg(
            id=f"leg-{place}", run_id="run-7f3a", machine=name, allocation_id="alloc-0001",
            attempts=(tries[name].model_copy(update={"leg_id": f"leg-{place}"}),),
            left_because="its hours are used up" if name == "karolina" else "",
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    tallies = {
        "leonardo": LegTally(
            sent=16, applied=16, took_part=16, committed=16, sent_bytes=21_400_000, received_bytes=40_000_000,
            waited_s=9.0,
        ),
        "lumi": LegTally(sent=16, applied=16, took_part=15, late=1, sent_bytes=21_400_000, received_bytes=39_000_000),
        "karolina": LegTally(sent=12, applied=11, took_part=12, refused=1, sent_bytes=16_000_000),
    }  # fmt: skip
    told = tuple(
        LegRecord(
            name=name, plan=plan(), tally=tallies[name], telemetry=rows(1, tries[name].last_step or 1, start_s=9.0),
        )
        for name in names
    )  # fmt: skip
    happened = (
        OuterHappening(at=after(80), leg="lumi", what="late", outer_step=1, reason="the part came after the commit"),
        OuterHappening(at=after(95), leg="karolina", what="refused", reason="a.outer: its payload is damaged"),
    )
    exchanged = AcrossRecord(
        legs=told, exchanges=16, happenings=happened,
        spans=(
            OuterSpan(first=0, last=2, legs=names), OuterSpan(first=3, last=3, legs=names[:2]),
        ),
    )  # fmt: skip
    return record(
        RunState.FINISHED,
        tuple(tries.values()),
        legs=legs,
        across=terms,
        record_across=exchanged,
        machines=tuple(machine(name.capitalize()).model_copy(update={"id": name}) for name in names),
        telemetry=told[0].telemetry,
        result=result(),
        step=STEPS,
        ended_at=after(196),
        made_at=after(200),
    )


def waiting() -> RunRecord:
    return record(RunState.QUEUED, (attempt(1, AttemptState.PLANNED, 0, None, None),), made_at=after(4), usage=())


def failed() -> RunRecord:
    tries = tuple(
        attempt(n, AttemptState.FAILED, n * 20, n * 20 + 2, n * 20 + 9, reason="out of memory at step 1", exit_code=1)
        for n in (1, 2)
    )
    return record(RunState.FAILED, tries, reason="two attempts in a row ended without a step", ended_at=after(50))


def command() -> RunRecord:
    """A program of the user's: no plan, no steps, no gate, an allocation granted elsewhere."""
    own = TrainSpec(
        name="fold",
        command=CommandSpec(run="python fold.py --epochs 3 | tee log"),
        where=WhereSpec(nodes=1, max_gpu_hours=2),
    )
    return record(
        RunState.FINISHED,
        (attempt(1, AttemptState.FINISHED, 0, 2, 95),),
        name="fold",
        spec=own,
        plan=None,
        steps=0,
        gate=None,
        application=None,
        code_sha256="9a" * 32,
        ended_at=after(95),
    )


def long() -> RunRecord:
    """A run of weeks: thousands of rows."""
    return record(
        RunState.FINISHED,
        (attempt(1, AttemptState.FINISHED, 0, 3, 16 * 86400, last_step=4000),),
        telemetry=rows(1, 4000),
        result=result(),
        step=4000,
        steps=4000,
        made_at=after(17 * 86400),
    )


HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)' & <b>bold</b>\x00\N{RIGHT-TO-LEFT OVERRIDE}"


def hostile() -> RunRecord:
    """Markup wherever a person or a job may write text."""
    bad = Finding(
        rule="gate.x",
        verdict="condition",
        reason=HOSTILE,
        citation=HOSTILE,
        condition=HOSTILE,
        what_would_change_it=HOSTILE,
    )
    judged = Decision(
        subject="app-0001",
        verdict="review",
        findings=(bad,),
        decided_at=START,
        decided_by=HOSTILE,
        overridden_from="deny",
        override_reason=HOSTILE,
    )
    bad_plan = plan().model_copy(update={"why": (HOSTILE,), "estimates": (HOSTILE,)})
    return record(
        RunState.FINISHED,
        (attempt(1, AttemptState.FAILED, 0, 3, 80, reason=HOSTILE), attempt(2, AttemptState.FINISHED, 90, 99, 170)),
        spec=spec(licence=HOSTILE),
        created_by=HOSTILE,
        reason=HOSTILE,
        machines=(machine(HOSTILE),),
        plan=bad_plan,
        telemetry=rows(1, 30),
        result=result(HOSTILE).model_copy(update={"software": {HOSTILE: HOSTILE}}),
        gate=judged,
        admission=judged,
        allocations=(allocation().model_copy(update={"conditions": (HOSTILE,)}),),
        usage=(
            UsageEntry(
                id="u",
                allocation_id="alloc-0001",
                accelerator_seconds=-1,
                kind="correction",
                recorded_at=START,
                note=HOSTILE,
                site_amount=HOSTILE,
            ),
        ),
    )


ALL = {
    "finished": finished,
    "interrupted": interrupted,
    "under-way": under_way,
    "waiting": waiting,
    "failed": failed,
    "command": command,
    "across": across,
    "long": long,
    "hostile": hostile,
}
