"""The five sections of the run report, each a function of the record that says so where nothing is known."""

from __future__ import annotations

from datetime import datetime

from hanse.contracts.decision import Decision, Finding
from hanse.contracts.machine import Machine
from hanse.contracts.programme import Allocation
from hanse.contracts.record import RunRecord
from hanse.contracts.run import Attempt, AttemptState, Run
from hanse.contracts.units import (
    NBSP,
    format_bytes,
    format_count,
    format_gpu_hours,
    format_seconds,
    significant,
)
from hanse.reporting import legs, measured
from hanse.reporting.bars import meter, meter_key
from hanse.reporting.markup import Child, Html, breakable, h, join
from hanse.reporting.run_charts import attempts_figure, breakdown_figure, legs_figures, loss_figure, throughput_figure
from hanse.reporting.tables import Column, Happening, facts, section, table, timeline
from hanse.reporting.words import (
    ATTEMPT_LOOKS,
    VERDICT_LOOKS,
    Look,
    badge,
    full_date,
    plain_date,
    plural,
    sentence,
    when,
)

_INSIDE: dict[measured.Verdict, Look] = {
    "inside": Look("is-done", "Yes"),
    "above": Look("is-outside", "Above"),
    "below": Look("is-outside", "Below"),
    "not-over": Look("is-running", "So far"),
}


def predicted_and_measured(record: RunRecord) -> Html:
    plan, rows = record.run.plan, record.telemetry
    running = not measured.is_final(record)
    unigram = record.result.unigram_entropy if record.result else None
    parts = measured.breakdown(record)
    if record.across is not None:
        names = {machine.id: machine.name for machine in record.machines}
        drawn = legs_figures(record.across.legs, unigram=unigram, running=running, names=names)
        charts = h("div", drawn, class_="block cols cols--pair")
        return join(
            section("r1", "1 Predicted and measured", _comparison(record)),
            charts,
            section("legs", "What the legs exchanged", legs.exchanged(record.across, record.run, names)),
            _sample(record),
        )
    charts = h(
        "div",
        loss_figure(rows, plan=plan, unigram=unigram, running=running),
        throughput_figure(rows, plan=plan, running=running),
        class_="block cols cols--pair",
    )
    return join(
        section("r1", "1 Predicted and measured", _comparison(record)),
        charts if rows or record.run.spec.command is None else None,
        section("step", "Where a step's time goes", breakdown_figure(parts, plan)) if parts and plan else None,
        _sample(record),
    )


def _comparison(record: RunRecord) -> Html:
    compared = [("", one) for one in measured.comparisons(record)]
    for leg in record.across.legs if record.across else ():
        name = next((each.name for each in record.machines if each.id == leg.name), leg.name)
        compared += [(name, one) for one in measured.of_steps(leg.plan, leg.telemetry)] if leg.plan else []
    if not compared:
        why = "a program of the user's runs without a plan" if record.run.spec.command else "this run has no plan"
        return h("p", f"Nothing was predicted: {why}. What it used is measured and stands below.", class_="muted")
    rows: list[tuple[Child, ...]] = [
        (
            join(h("small", name) if name else None, one.quantity, h("small", one.unit_note)),
            one.write(one.predicted),
            _range(one),
            "not measured" if one.measured is None else one.write(one.measured),
            badge(_INSIDE[one.verdict]) if one.verdict else "",
        )
        for name, one in compared
    ]
    columns = ("Quantity", Column("Predicted", True), Column("Range", True), Column("Measured", True), "Inside?")
    plan = record.run.plan
    return join(
        table(columns, rows),
        h(
            "p",
            "The plan: ",
            h("span", f"{plan.layout.describe()}. {' '.join(plan.why)}", lang="en"),
            class_="small muted",
        )
        if plan and record.across is None
        else None,
        h("p", "A range should hold eight times in ten. ", _estimates(record), class_="small muted"),
    )


def _range(one: measured.Comparison) -> str:
    if one.high is None:
        return ""
    if one.low is None:
        return f"at most {one.write(one.high)}"
    low, high = one.write(one.low).split(NBSP), one.write(one.high).split(NBSP)
    shared = len(low) == len(high) == 2 and low[1] == high[1]
    return f"{low[0] if shared else NBSP.join(low)} to {NBSP.join(high)}"


def _estimates(record: RunRecord) -> Html | str:
    plan = record.run.plan
    if plan is None or not plan.estimates:
        return ""
    told = "; ".join(each.rstrip(".") for each in plan.estimates)
    return join("It rests on estimates: ", h("span", f"{told}.", lang="en"))


def _sample(record: RunRecord) -> Html | None:
    result = record.result
    if result is None or not (result.sample_text or result.sample_prompt):
        return None
    said = h(
        "pre",
        h("b", result.sample_prompt),
        result.sample_text,
        class_="code code--wrap",
        tabindex=0,
        aria_label="Generated text",
    )
    return section(
        "sample", "What it writes", said, h("p", "The prompt is bold; the model wrote the rest.", class_="small muted")
    )


def used(record: RunRecord) -> Html:
    energy = measured.energy_joules(record)
    result = record.result
    plan = record.run.plan
    flops = plan.workload.flops_per_token * result.tokens if plan and result else None
    listed = facts(
        ("Charged", format_gpu_hours(record.run.used_accelerator_seconds)),
        (
            "Held",
            format_seconds(held) + ", all attempts together"
            if (held := measured.held_s(record.run, record.made_at))
            else None,
        ),
        ("Computation", f"{format_count(flops)} FLOP in the model" if flops else None),
        ("Energy", "unknown: nobody counted it" if energy is None else f"{_energy(energy)}, by the site's counters"),
        *(("The site's own record", entry.site_amount) for entry in record.usage if entry.site_amount),
        *(
            ("Correction", f"{measured.hours(e.accelerator_seconds)}{NBSP}GPU-hours. {sentence(e.note)}")
            for e in record.usage
            if e.kind == "correction"
        ),
    )
    cards = [_allocation(one, record) for one in record.allocations]
    return section(
        "r2",
        "2 What it used",
        h("div", listed, h("div", cards, class_="stack"), class_="cols cols--pair") if cards else listed,
    )


def _allocation(one: Allocation, record: RunRecord) -> Html:
    name = next((m.name for m in record.machines if m.id == one.machine), one.machine)
    where = f"{name} · {one.partition}" if one.partition else name
    return h("div", h("h3", where), allocation_meter(one), class_="card")


def allocation_meter(one: Allocation) -> Html:
    """Granted, used, reserved and free: the large figure, the meter and its key."""
    hours = measured.hours
    spent, held, free = map(
        hours, (one.used_accelerator_seconds, one.reserved_accelerator_seconds, one.free_accelerator_seconds)
    )
    granted = hours(one.granted_accelerator_seconds)
    left = hours(one.granted_accelerator_seconds - one.used_accelerator_seconds)
    return join(
        h(
            "p",
            h("b", left, " ", h("small", "GPU-hours left")),
            h("span", f"of {granted} granted · ends {full_date(one.ends)}"),
            class_="stat",
        ),
        meter(
            f"{spent} GPU-hours used, {held} reserved, {free} free of {granted}",
            total=one.granted_accelerator_seconds,
            used=one.used_accelerator_seconds,
            reserved=one.reserved_accelerator_seconds,
        ),
        meter_key(("used", f"{spent} used"), ("reserved", f"{held} reserved"), ("free", f"{free} free")),
    )


def attempts(record: RunRecord) -> Html:
    ordered = measured.attempts(record.run)
    if not ordered:
        empty = h("p", "No attempt was planned yet; there is nothing to account for.", class_="muted")
        return section("r3", "3 Attempts, what went wrong and what it cost", empty)
    names = {machine.id: machine.name for machine in record.machines}
    chart = attempts_figure(record.run, names=names, made_at=record.made_at)
    trouble = [one for attempt in ordered if (one := _trouble(record, attempt))]
    smooth = h("p", "Nothing went wrong: no attempt failed and no work was repeated.", class_="small muted")
    return section(
        "r3",
        "3 Attempts, what went wrong and what it cost",
        h("div", chart, class_="card"),
        attempts_table(record.run, names=names, at=record.made_at),
        timeline(trouble) if trouble else smooth,
    )


def attempts_table(run: Run, *, names: dict[str, str], at: datetime, newest_first: bool = False) -> Html:
    """Every attempt with what it held and how it ended; the last line sums. `names` are the machines', by id."""
    ordered = measured.attempts(run)
    machines = {leg.id: names.get(leg.machine, leg.machine) for leg in run.legs}
    rows: list[tuple[Child, ...]] = []
    for attempt in reversed(ordered) if newest_first else ordered:
        lasted = measured.duration_s(attempt, at)
        rows.append(
            (
                f"{machines[attempt.leg_id]}, {attempt.number}" if len(machines) > 1 else f"Attempt {attempt.number}",
                badge(ATTEMPT_LOOKS[attempt.state]),
                when(attempt.started_at) if attempt.started_at else "",
                format_seconds(lasted) if lasted is not None else "",
                f"{attempt.last_step:,}" if attempt.last_step is not None else "",
                measured.hours(attempt.accelerator_seconds),
                _outcome(attempt),
            )
        )
    columns = (
        "Attempt", "State", "Started", Column("Length", True), Column("Last step", True), Column("GPU-hours", True),
        "Outcome",
    )  # fmt: skip
    held = measured.held_s(run, at)
    lasted_all = format_seconds(held) if held else ""
    total = measured.hours(sum(attempt.accelerator_seconds for attempt in ordered))
    foot: tuple[Child, ...] = (f"All {plural(len(ordered), 'attempt')}", "", "", lasted_all, "", total, "")
    return table(columns, rows, foot=foot if len(ordered) > 1 else None)


def _outcome(attempt: Attempt) -> str:
    job = f"job {attempt.job_id}" if attempt.job_id else ""
    code = f"exit code {attempt.exit_code}" if attempt.exit_code else ""
    return sentence("; ".join(part for part in (attempt.reason.strip().rstrip("."), code, job) if part)).rstrip(".")


def _trouble(record: RunRecord, attempt: Attempt) -> Happening | None:
    if attempt.state not in (AttemptState.FAILED, AttemptState.CANCELLED, AttemptState.UNKNOWN):
        return None
    at = attempt.ended_at or attempt.last_heard_at or attempt.started_at or attempt.planned_at
    steps = measured.repeated_steps(record, attempt)
    each = measured.middle(record.telemetry, lambda row: row.step_s.median)
    word = ATTEMPT_LOOKS[attempt.state].word.lower()
    lost = (
        f" {plural(steps, 'step')} were done again{f', {format_seconds(steps * each)}' if each else ''}."
        if steps
        else ""
    )
    tone = "tone-bad" if attempt.state is AttemptState.FAILED else "tone-off"
    text = join(
        h("b", f"Attempt {attempt.number} {word}. "),
        sentence(attempt.reason),
        f" It held the machine for {format_gpu_hours(attempt.accelerator_seconds)}.{lost}",
    )
    return Happening(at, text, tone)


def gate(record: RunRecord) -> Html:
    decisions = [
        decision_block(d, title)
        for d, title in ((record.gate, "The responsible-AI gate"), (record.admission, "Admission of this run"))
        if d
    ]
    granted = [condition for allocation in record.allocations for condition in allocation.conditions]
    kept = list(dict.fromkeys([*granted, *(c for d in (record.gate, record.admission) if d for c in d.conditions)]))
    none = h("p", "No decision is on record: the compute was not granted through this service.", class_="muted")
    conditions = (
        join(h("h3", "Conditions to keep"), h("ul", [h("li", one) for one in kept], class_="list small", lang="en"))
        if kept
        else None
    )
    return section("r4", "4 The gate and its conditions", decisions or none, conditions)


def decision_block(decision: Decision, title: str) -> Html:
    """A decision, who made it, and each finding with where it stands. What holds for every source is said once."""
    cited = [finding for finding in decision.findings if finding.citation]
    second_hand = bool(cited) and all(finding.confidence == "secondary" for finding in cited)
    by = h(
        "p",
        f"Decided by {decision.decided_by}, ",
        when(decision.decided_at, form="full"),
        ". What is cited was read in secondary sources, not in the official texts." if second_hand else ".",
        class_="small muted",
    )
    turned = None
    if decision.overridden_from:
        was = VERDICT_LOOKS[decision.overridden_from].word.lower()
        turned = h(
            "p",
            f"A person overruled the rules, which said “{was}”: {sentence(decision.override_reason)}",
            class_="small",
        )
    rows: list[tuple[Child, ...]] = [
        (h("code", breakable(f.rule)), badge(VERDICT_LOOKS[f.verdict]), _reason(f), _citation(f, mark=not second_hand))
        for f in decision.findings
    ]
    head = h("div", h("h3", title), badge(VERDICT_LOOKS[decision.verdict]), class_="row")
    return join(head, by, turned, table(("Rule", "Result", "Why", "Where it stands"), rows) if rows else None)


def _citation(finding: Finding, *, mark: bool) -> Html | None:
    if not finding.citation:
        return None
    second_hand = mark and finding.confidence == "secondary"
    words = [breakable(word) if "://" in word else join(word) for word in finding.citation.split(" ")]
    return join(
        h("span", Html(" ".join(words)), lang="en"), h("small", "Read in a secondary source.") if second_hand else None
    )


def _reason(finding: Finding) -> Html:
    """The rules' own words are legal text: in English, whatever the language of the page."""
    unread = "Nobody has read the rule's source yet, so it may ask but not decide."
    noted = (("Condition: ", finding.condition), ("What would change it: ", finding.what_would_change_it))
    return join(
        h("span", sentence(finding.reason), lang="en"),
        [h("small", name, h("span", sentence(text), lang="en")) for name, text in noted if text],
        h("small", unread) if finding.confidence == "unread" else None,
    )


def origin(record: RunRecord) -> Html:
    run, result = record.run, record.result
    data: list[tuple[Child, ...]] = [
        (d.name, d.source, d.licence, "yes" if d.personal_data else "no") for d in run.spec.data
    ]
    listed = facts(
        ("Run", h("code", run.id)),
        ("Launched", join(when(run.created_at, form="full"), f" by {run.created_by}")),
        ("Specification", _hash(run.spec_hash)),
        ("Code", _hash(run.code_sha256) if run.code_sha256 else "none but Hanse's"),
        ("Program", h("code", run.spec.command.run) if run.spec.command else None),
        (
            "Plan",
            join(plain_date(run.plan.made_at), ", for machine ", _hash(run.plan.machine_digest))
            if run.plan
            else "none",
        ),
        *(("Machine", _machine(machine)) for machine in record.machines),
        ("Tokens of data", format_count(result.dataset_tokens) if result else None),
        (
            "Software",
            ", ".join(f"{k} {v}" for k, v in sorted(result.software.items())) if result and result.software else None,
        ),
        ("Seed", str(run.spec.seed) if run.spec.command is None else None),
    )
    columns = ("Dataset", "Source", "Licence", "Personal data")
    return section("r5", "5 Where it comes from", listed, table(columns, data) if data else None)


def _machine(machine: Machine) -> str:
    device = machine.accelerator
    size = f"{machine.accelerators_per_node} × {device.name}"
    return f"{machine.name}, {machine.site}: {size}, {format_bytes(device.memory_bytes)} each"


def _hash(value: str) -> Html:
    """Spaced, so that it can be read aloud and breaks on a phone."""
    spaced = " ".join(value[i : i + 8] for i in range(0, len(value), 8))
    return h("code", f"sha256 {spaced}")


def _energy(joules: float) -> str:
    for unit, size in (("MWh", 3.6e9), ("kWh", 3.6e6), ("Wh", 3.6e3)):
        if joules >= size:
            return f"{significant(joules / size)}{NBSP}{unit}"
    return f"{joules:,.0f}{NBSP}J"
