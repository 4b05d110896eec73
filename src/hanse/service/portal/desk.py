"""The service desk: the AI Act checked, explored by article and by day, with templates and words. No sign-in.

A check is a link: its answers and its day stand in the address, so that whoever has it sees the same, prints it, or
makes it again on a command line. Nothing that is answered is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, get_args

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from hanse.contracts.base import now
from hanse.contracts.compliance import AskedQuestion, Check, Role, ToldRule
from hanse.contracts.errors import UsageError
from hanse.rules import catalogue
from hanse.rules.answers import HARMLESS, REST
from hanse.rules.check import check as evaluate
from hanse.rules.documents import forms
from hanse.rules.files import shipped
from hanse.rules.glossary import words

_A_WHILE = cache_control(max_age=300, private=True)
"""Private, because the head of a page names who is signed in."""
_AS_OF, _REST = "as-of", "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One question as the form shows it, with what was answered."""

    asked: AskedQuestion
    given: tuple[str, ...]
    depth: int

    @property
    def options(self) -> list[tuple[str, str, bool]]:
        names = {"yes": "Yes", "no": "No"} | self.asked.labels
        return [(one, names.get(one, one), one in self.given) for one in self.asked.allowed]


@require_safe
@_A_WHILE
def desk(request: HttpRequest) -> HttpResponse:
    today = now().date()
    coming = [one for one in _milestones(shipped().begins or today, None) if one["on"] > today]
    return render(request, "desk/desk.html", {
        "rules": len(catalogue.rules_of(today)), "coming": coming[:4], "forms": [forms.load(id) for id in forms.ids()],
    })  # fmt: skip


@require_safe
def check(request: HttpRequest) -> HttpResponse:
    """The form, and above it the answer where something was asked."""
    given = {key: tuple(one for one in values if one) for key, values in request.GET.lists()}
    answers = {key: values for key, values in given.items() if values and key not in (_AS_OF, _REST)}
    day = (given.get(_AS_OF) or ("",))[0]
    found, problem = None, None
    if answers:
        try:
            found = _evaluated(answers, day, rest=_REST in given)
        except UsageError as error:
            problem = error
    groups = [
        (name, list(members)) for name, members in groupby(_shown(answers), key=lambda one: one.asked.group or "More")
    ]
    return render(
        request, "desk/check.html",
        {
            "groups": groups, "found": found, "problem": problem, "day": day, "rest": _REST in given,
            "answers": _as_yaml(found) if found else "", "today": now().date(),
        },
        status=400 if problem else 200,
    )  # fmt: skip


def _evaluated(answers: dict[str, tuple[str, ...]], day: str, *, rest: bool) -> Check:
    kinds = {one.id: one.kind for one in catalogue.questions_of()}
    read: dict[str, Any] = {
        key: list(values) if kinds.get(key) == "choices" else values[0] for key, values in answers.items()
    }
    if rest:
        read[REST] = HARMLESS
    return evaluate(read, as_of=_day(day))


def _day(text: str) -> date:
    if not text:
        return now().date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date", where="as of", fix="Write it as 2026-12-02.") from None


def _shown(answers: dict[str, tuple[str, ...]]) -> Iterator[Shown]:
    asked = {one.id: one for one in catalogue.questions_of()}
    for one in asked.values():
        depth, at = 0, one
        while at.follows is not None:
            depth, at = depth + 1, asked[at.follows]
        yield Shown(asked=one, given=answers.get(one.id, ()), depth=depth)


def _as_yaml(found: Check) -> str:
    """A file of answers that gives the same check on a command line."""
    lines = [f"as-of: {found.as_of}"]
    for id, value in found.answers.items():
        told = (
            ", ".join(value)
            if isinstance(value, tuple)
            else ("yes" if value else "no")
            if isinstance(value, bool)
            else value
        )
        lines.append(f"{id.replace('_', '-')}: {told}")
    return "\n".join([*lines, *(f"{REST}: {HARMLESS}" for _ in range(bool(found.assumed)))])


@require_safe
@_A_WHILE
def explore(request: HttpRequest) -> HttpResponse:
    """The rules in force on a day, under the articles they stand in."""
    day, problem = request.GET.get(_AS_OF, ""), None
    try:
        found: Sequence[ToldRule] = catalogue.rules_of(_day(day))
    except UsageError as error:
        found, problem = (), error
    ordered = sorted(found, key=lambda rule: (_in_order(_source_of(rule)), rule.citation))
    groups = [(name, list(members)) for name, members in groupby(ordered, key=_source_of)]
    context = {"groups": groups, "day": day, "problem": problem, "count": len(found)}
    return render(request, "desk/explore.html", context, status=400 if problem else 200)


def _source_of(rule: ToldRule) -> str:
    """What the citation begins with: 'AI Act Art. 5', 'AI Act Annex III', or another source's own name."""
    head = rule.citation.split(",")[0].split(";")[0].split("(")[0].strip()
    return head or "Other"


def _in_order(text: str) -> list[tuple[int, str]]:
    """Article 6 before article 50."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


@require_safe
@_A_WHILE
def timeline(request: HttpRequest) -> HttpResponse:
    """What begins and ends when, for everybody or for one role."""
    role = request.GET.get("role", "")
    if role not in get_args(Role):
        role = ""
    today = now().date()
    moments = list(_milestones(shipped().begins or today, role or None))
    return render(request, "desk/timeline.html", {
        "moments": moments, "today": today, "role": role,
        "roles": [(one, one.replace("-", " ")) for one in get_args(Role)],
    })  # fmt: skip


def _milestones(begins: date, role: str | None) -> list[dict[str, Any]]:
    by_day: dict[date, dict[str, list[str]]] = {begins: {"begins": [], "ends": []}}
    for rule in shipped().rules:
        if role and rule.roles and role not in rule.roles:
            continue
        by_day.setdefault(max(rule.effective, begins), {"begins": [], "ends": []})["begins"].append(rule.title)
        if rule.until:
            by_day.setdefault(rule.until, {"begins": [], "ends": []})["ends"].append(rule.title)
    return [{"on": day, **told} for day, told in sorted(by_day.items()) if told["begins"] or told["ends"]]


@require_safe
@_A_WHILE
def templates(request: HttpRequest) -> HttpResponse:
    """The documents there are, what each asks, and who can say it."""
    return render(request, "desk/templates.html", {"forms": [forms.load(id) for id in forms.ids()]})


@require_safe
@_A_WHILE
def glossary(request: HttpRequest) -> HttpResponse:
    return render(request, "desk/glossary.html", {"words": words()})
