"""The page docs/reference/modes.md: every call that comes with Hanse, value by value with its source."""

from __future__ import annotations

from typing import Any

from hanse.contracts.applying import SECTIONS
from hanse.contracts.programme import CallTerms, Dated
from hanse.programme import calls
from hanse.programme.eligibility import KINDS

MADE = "<!-- made by tools/reference.py; change the data, then run: make reference -->\n"
HEAD = """# Access modes

The calls that come with Hanse, as dated data: each value with where it was read, how far that is to be trusted, and
the day it was looked at. They are modelled on EuroHPC's modes; most of the official pages were not opened by us, so
look there before you rely on a number. A programme that runs Hanse publishes its own.

How far a value is to be trusted: **official** was read on the page named; **secondary** was read elsewhere, in a dated
text that names that page; **single-report** comes from one applicant or one text; **conflicting** sources differ, or
the value was looked for and not found. A value that is single-report or conflicting never refuses an application: a
person decides. Amounts of calls that count node-hours are given in GPU-hours at four accelerators a node. Moments are
in Brussels' time.
"""
NAMES = {
    "opens": "known open from", "closes": "closes", "min_gpu_hours": "from", "max_gpu_hours": "up to",
    "durations_months": "lasts (months)", "who": "for", "decision_working_days": "answer within (working days)",
    "counted_from": "counted from", "decision_months": "answer within (months)", "calendar": "public holidays of",
    "cut_offs": "cut-offs", "cut_off_rule": "cut-off each month on day", "cut_off_time": "time of the cut-off",
    "unit": "counts in", "amounts": "amounts in that unit", "purposes": "purposes", "experience": "experience",
    "pays": "may have to pay", "only_in_eu_project": "only inside an EU project", "one_machine": "one machine only",
    "rooms": "machines with room", "sections": "sections of the form", "review": "review", "order": "order",
    "quotas": "quotas", "max_entries": "applications at most", "winners": "winners", "prize_eur": "prize, shared (EUR)",
    "reserve": "reserve list", "extension": "extension", "obligations": "obligations", "conditions": "conditions",
}  # fmt: skip


def page() -> str:
    return f"{MADE}{HEAD}\n" + "\n".join(_call(calls.load(id)) for id in calls.patterns()).rstrip() + "\n"


def _call(terms: CallTerms) -> str:
    rows = ["| | value | source |", "|---|---|---|"]
    for key in CallTerms.model_fields:
        source = terms.sources.get(key)
        if source is not None:
            rows.append(f"| {NAMES[key]} | {_said(key, getattr(terms, key))} | {_source(source)} |")
    lines = [f"## {terms.title}\n", f"`{terms.id}`, version {terms.version}. {terms.summary}\n", "\n".join(rows) + "\n"]
    if terms.not_found:
        lines.append(f"Looked for and not found: {'; '.join(terms.not_found)}.\n")
    return "\n".join(lines)


def _source(source: Dated) -> str:
    return f"[{source.confidence}]({source.url}), {source.checked_on.isoformat()}"


def _said(key: str, value: Any) -> str:
    if value is None:
        return "none known" if key == "closes" else "not known"
    if value == ():
        return "the short form" if key == "sections" else "none"
    if key in ("who", "pays", "only_in_eu_project"):
        return ", ".join(KINDS[kind] for kind in value)
    if key in ("min_gpu_hours", "max_gpu_hours"):
        return f"{value:,} GPU-hours"
    if key == "amounts":
        return f"{value[0]:,} to {value[1]:,}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "; ".join(_item(key, one).rstrip(".") for one in value)
    return _item(key, value)


def _item(key: str, one: Any) -> str:
    if key == "sections":
        return SECTIONS[one]  # type: ignore[no-any-return]
    if key == "rooms":
        where = f"{one.machine} {one.partition}" if one.partition else one.machine
        return f"{where} ({'yes' if one.offered else 'no'}, {one.as_of.isoformat()})"
    if key == "review":
        return f"{one.kind} ({one.by})" if one.by else str(one.kind)
    if key == "quotas":
        beside = f", together with {', '.join(one.beside)}" if one.beside else ""
        return f"{one.share * 100:g} % of {one.of}{beside}"
    if key == "obligations":
        due = [f"{one.months_after_start} months after the start"] if one.months_after_start is not None else []
        due += [f"{one.months_after_end} months after the end"] if one.months_after_end is not None else []
        text = one.text if not due else f"{one.text.rstrip('.')}, {' and '.join(due).replace('1 months', '1 month')}."
        return str(text)
    if key == "extension":
        times = "once" if one.times == 1 else f"{one.times} times"
        return f"{times}, by {one.months} months and {one.share * 100:g} % of the hours"
    if key == "cut_off_rule":
        return ", ".join(str(day) for day in one.days)
    return str(one)
