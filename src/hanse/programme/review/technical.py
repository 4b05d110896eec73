"""The technical check of an application, prepared from its section Compute and the machine's facts, for a person.

What the plan says of jobs, memory, scaling and hours (programme/filling.py) is reckoned again and held against what is
asked for. Where a fact is missing the answer is `unknown`, never `yes`. The limits at which a person should look are
our own: no programme of those we read publishes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hanse.contracts.application import Compute, Jobs, WholeForm
from hanse.contracts.machine import Machine, Partition
from hanse.contracts.programme import ApplicationForm, CallTerms
from hanse.contracts.review_steps import Answer, StepFinding
from hanse.contracts.units import SECONDS_PER_HOUR, format_bytes, format_percent, format_seconds

SCALES: Final = 0.7
"""Share of the smallest job's throughput per accelerator that is kept at the job's size: from here on it scales."""
WASTES: Final = 0.5
"""Below, more than half of what is granted would be lost to communication."""
NEAR: Final = 1.25
"""Hours asked over hours reckoned, or the other way round: up to here they are plausible."""
FAR: Final = 2.0
TIGHT: Final = 0.9
"""Share of an accelerator's memory above which a person should look."""


def check(
    form: ApplicationForm, terms: CallTerms, machine: Machine | None, *, held_up: str = ""
) -> tuple[StepFinding, ...]:
    """Findings in the order of a form. `held_up` says why the machine takes no jobs now; empty: it does."""
    compute = (form.whole or WholeForm()).compute
    jobs = compute.jobs
    return (
        _open(form, compute, terms, machine, held_up),
        _size(compute, machine),
        _memory(jobs, machine),
        _scales(compute),
        _hours(form, compute),
        _storage(compute),
    )


def _open(
    form: ApplicationForm, compute: Compute, terms: CallTerms, machine: Machine | None, held_up: str
) -> StepFinding:
    where = f"{form.machine}{f' {compute.partition}' if compute.partition else ''}"

    def said(answer: Answer, text: str) -> StepFinding:
        return StepFinding(id="open", question="Is the machine open for this call?", answer=answer, text=text)

    rooms = [one for one in terms.rooms if one.machine == form.machine]
    rooms = [one for one in rooms if one.partition in (None, compute.partition or one.partition)]
    if terms.rooms and not rooms:
        return said("no", f"The call has no room on {where}.")
    if rooms and not any(one.offered for one in rooms):
        return said("no", f"The call had no room on {where} on {max(one.as_of for one in rooms):%-d %B %Y}.")
    if machine is None:
        return said("unknown", f"No facts of {form.machine} are known here.")
    if machine.status != "operational":
        return said("no", f"{machine.name} is {machine.status}.")
    if compute.partition and machine.partitions and _named(machine, compute.partition) is None:
        names = ", ".join(one.name for one in machine.partitions)
        return said("no", f"{machine.name} has no partition {compute.partition}; it has {names}.")
    if held_up:
        return said("look", f"{machine.name} takes no jobs now: {held_up}.")
    return said("yes", f"{where} is open." if terms.rooms else f"{where} is in operation; the call names no machines.")


def _size(compute: Compute, machine: Machine | None) -> StepFinding:
    jobs = compute.jobs

    def said(answer: Answer, text: str, **numbers: float) -> StepFinding:
        question = "Does the largest job fit the machine's limits?"
        return StepFinding(id="size", question=question, answer=answer, text=text, numbers=numbers)

    nodes, a_node = jobs.nodes_largest, jobs.accelerators_per_node
    if nodes is None:
        return said("unknown", "The form names no job size.")
    if machine is None:
        return said(
            "unknown", f"The largest job takes {nodes:,} nodes; the machine's limits are not known.", nodes=nodes
        )
    if a_node and a_node > machine.accelerators_per_node:
        text = f"A node has {machine.accelerators_per_node} accelerators, the job wants {a_node}."
        return said("no", text, accelerators_per_node=a_node, accelerators_there=machine.accelerators_per_node)
    open_to = _partitions(machine, compute.partition)
    most = max((one.max_nodes or one.nodes or 0 for one in open_to), default=0) or machine.nodes
    if most and nodes > most:
        return said("no", f"A job may take {most:,} nodes, this one wants {nodes:,}.", nodes=nodes, most_nodes=most)
    longest = max((one.max_wall_time_s or 0 for one in open_to), default=0)
    if longest and jobs.wall_time_s and jobs.wall_time_s > longest:
        text = f"A job may run for {format_seconds(longest)}, this one wants {format_seconds(jobs.wall_time_s)}."
        return said("no", text, wall_time_s=jobs.wall_time_s, longest_s=longest)
    if not most:
        return said(
            "unknown", f"The largest job takes {nodes:,} nodes; how many one may take is not known.", nodes=nodes
        )
    return said("yes", f"The largest job takes {nodes:,} of at most {most:,} nodes.", nodes=nodes, most_nodes=most)


def _memory(jobs: Jobs, machine: Machine | None) -> StepFinding:
    def said(answer: Answer, text: str, **numbers: float) -> StepFinding:
        question = "Does it fit the accelerators' memory?"
        return StepFinding(id="memory", question=question, answer=answer, text=text, numbers=numbers)

    ranks = (jobs.nodes_largest or 0) * (jobs.accelerators_per_node or 0)
    if not jobs.memory_bytes_largest or not ranks or machine is None:
        return said("unknown", "Memory, job size or the machine's facts are missing.")
    each, there = jobs.memory_bytes_largest / ranks, machine.accelerator.memory_bytes
    text = f"{format_bytes(each)} on each of {ranks:,} accelerators, which have {format_bytes(there)}."
    answer: Answer = "no" if each > there else "look" if each > TIGHT * there else "yes"
    return said(answer, text, memory_bytes_per_accelerator=each, memory_bytes_there=there)


def _scales(compute: Compute) -> StepFinding:
    def said(answer: Answer, text: str, **numbers: float) -> StepFinding:
        return StepFinding(
            id="scales", question="Does it scale to the job's size?", answer=answer, text=text, numbers=numbers
        )

    nodes = compute.jobs.nodes_largest
    if nodes == 1:
        return said("yes", "The largest job takes one node.", nodes=1)
    if not compute.scaling or nodes is None:
        return said("unknown", "The form has no scaling table or no job size.")
    largest = max(compute.scaling, key=lambda one: one.nodes)
    if nodes > largest.nodes:
        text = f"The table ends at {largest.nodes:,} nodes, the largest job takes {nodes:,}."
        return said("look", text, nodes=nodes, nodes_shown=largest.nodes)
    at = min((one for one in compute.scaling if one.nodes >= nodes), key=lambda one: one.nodes)
    answer: Answer = "yes" if at.efficiency >= SCALES else "look" if at.efficiency >= WASTES else "no"
    text = f"At {at.nodes:,} nodes {format_percent(at.efficiency)} of the throughput per accelerator is kept."
    return said(answer, text, nodes=at.nodes, efficiency=at.efficiency)


def _hours(form: ApplicationForm, compute: Compute) -> StepFinding:
    def said(answer: Answer, text: str, **numbers: float) -> StepFinding:
        return StepFinding(id="hours", question="Are the hours plausible?", answer=answer, text=text, numbers=numbers)

    jobs, asked = compute.jobs, form.gpu_hours
    planned = sum(one.gpu_hours for one in compute.by_month)
    if compute.by_month and planned != asked:
        text = f"The months sum to {planned:,} GPU-hours, asked are {asked:,}."
        return said("look", text, gpu_hours=asked, gpu_hours_by_month=planned)
    known = jobs.nodes_average or jobs.nodes_largest, jobs.accelerators_per_node, jobs.wall_time_s, jobs.count
    if not all(known):
        return said(
            "unknown", f"{asked:,} GPU-hours are asked for; the form does not say of which jobs.", gpu_hours=asked
        )
    nodes, a_node, wall_time_s, count = (one or 0 for one in known)
    reckoned = count * wall_time_s * nodes * a_node / SECONDS_PER_HOUR
    apart = max(asked / reckoned, reckoned / asked)
    text = (
        f"{count:,} jobs × {format_seconds(wall_time_s)} × {nodes:,} nodes × {a_node} accelerators = "
        f"{reckoned:,.0f} GPU-hours; {asked:,} are asked for."
    )
    answer: Answer = "yes" if apart <= NEAR else "look" if apart <= FAR else "no"
    return said(answer, text, gpu_hours=asked, gpu_hours_reckoned=reckoned)


def _storage(compute: Compute) -> StepFinding:
    def said(answer: Answer, text: str, **numbers: float) -> StepFinding:
        question = "Is the storage it wants reasonable?"
        return StepFinding(id="storage", question=question, answer=answer, text=text, numbers=numbers)

    held = compute.storage
    wanted = sum(one or 0 for one in (held.scratch_bytes, held.work_bytes, held.archive_bytes))
    brought = held.transfer_bytes or 0
    if not wanted:
        return said("unknown", "The form names no storage.")
    numbers = {"storage_bytes": float(wanted), "transfer_bytes": float(brought)}
    if brought > wanted:
        text = f"{format_bytes(brought)} are to be brought in, {format_bytes(wanted)} are asked for."
        return said("look", text, **numbers)
    text = f"{format_bytes(wanted)} in all. How much the site can give is not among the machine's facts."
    return said("look", text, **numbers)


def against(findings: Iterable[StepFinding]) -> tuple[StepFinding, ...]:
    """Those that speak against the application as they hold now."""
    return tuple(one for one in findings if one.holds == "no")


def _named(machine: Machine, name: str) -> Partition | None:
    return next((one for one in machine.partitions if one.name == name), None)


def _partitions(machine: Machine, name: str | None) -> tuple[Partition, ...]:
    named = _named(machine, name) if name else None
    return (named,) if named else machine.partitions
