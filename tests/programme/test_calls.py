"""The calls as data, and whether they admit an application."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.decision import worst
from hanse.contracts.errors import SpecError, UsageError
from hanse.contracts.programme import ApplicationForm, CallTerms
from hanse.programme import calls, countries
from hanse.programme.eligibility import check

DAY = date(2026, 11, 22)
PLAYGROUND = calls.load("playground")
FORM = ApplicationForm(
    call="playground",
    organisation="Kontor 17",
    organisation_kind="start-up",
    country="DE",
    title="A small language model",
    purpose="Learn to train over several nodes.",
    machine="local",
    gpu_hours=10,
    duration_months=1,
    contact_email="ada@kontor17.example",
)
TEXT = """
id: tiny
mode: tiny
title: Tiny
summary: A tiny call.
opens: 2026-01-01
max_gpu_hours: 5
durations_months: [1]
who: [sme]
decision_working_days: 2
sources:
"""


def verdict(term: str, form: ApplicationForm = FORM, terms: CallTerms = PLAYGROUND, on: date = DAY) -> tuple[str, str]:
    finding = next(one for one in check(form, terms, on) if one.rule == f"call.{term}")
    return finding.verdict, finding.reason


def with_(**changes: object) -> ApplicationForm:
    return FORM.model_copy(update=changes)


def test_a_start_up_with_a_small_request_is_admitted_to_the_playground() -> None:
    findings = check(FORM, PLAYGROUND, DAY)
    assert [one.verdict for one in findings] == ["allow"] * 5
    assert all(one.citation.startswith("https://") for one in findings)


def test_the_playgrounds_whole_amount_may_be_asked() -> None:
    assert worst(check(with_(gpu_hours=PLAYGROUND.max_gpu_hours), PLAYGROUND, DAY)) == "allow"


@pytest.mark.parametrize(
    ("term", "changes", "says"),
    [
        ("gpu-hours", {"gpu_hours": 5001}, "5,001 GPU-hours are asked; this call gives at most 5,000."),
        ("organisation-kind", {"organisation_kind": "university"}, "not for universities"),
        ("duration", {"duration_months": 12}, "This call lasts 1, 2 or 3 months, not 12."),
        ("country", {"country": "US"}, "US is neither in the European Union"),
    ],
)
def test_what_the_call_does_not_admit_is_denied_in_plain_words(
    term: str, changes: dict[str, object], says: str
) -> None:
    assert verdict(term, with_(**changes))[0] == "deny"
    assert says in verdict(term, with_(**changes))[1]
    finding = next(one for one in check(with_(**changes), PLAYGROUND, DAY) if one.rule == f"call.{term}")
    assert finding.what_would_change_it


def test_a_limit_from_a_single_report_asks_for_a_person() -> None:
    said = verdict("gpu-hours", with_(gpu_hours=10_000), calls.load("fast-lane"))
    assert said[0] == "review"
    assert "uncertain report" in said[1]


@pytest.mark.parametrize(
    ("country", "expected"), [("NO", "allow"), ("CH", "review"), ("UA", "review"), ("GB", "review")]
)
def test_countries_outside_the_union_by_what_is_known_of_them(country: str, expected: str) -> None:
    assert verdict("country", with_(country=country))[0] == expected


def test_a_call_not_open_yet_or_closed_is_denied_with_its_date() -> None:
    terms = PLAYGROUND.model_copy(update={"closes": date(2026, 12, 31)})
    assert verdict("dates", terms=terms)[0] == "allow"
    assert verdict("dates", terms=terms, on=date(2026, 12, 31))[0] == "allow"
    assert verdict("dates", terms=terms, on=date(2027, 1, 1)) == (
        "deny",
        "Playground access closed on 31 December 2026.",
    )
    assert verdict("dates", terms=terms, on=date(2026, 6, 16)) == ("deny", "Playground access opens on 17 June 2026.")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 100_000), st.integers(1, 12), st.sampled_from(["DE", "CH", "US"]), st.sampled_from(calls.ids()))
def test_asking_for_less_is_never_denied_where_more_was_not(hours: int, months: int, country: str, call: str) -> None:
    terms = calls.load(call).model_copy(update={"min_gpu_hours": 0})
    form = with_(gpu_hours=hours, duration_months=months, country=country)
    less = form.model_copy(update={"gpu_hours": max(1, hours // 2)})
    if worst(check(form, terms, DAY)) != "deny":
        assert worst(check(less, terms, DAY)) != "deny"


def test_the_union_has_27_members_and_germany_is_one() -> None:
    group = countries.load().group_of("DE")
    assert group is not None
    assert len(group.countries) == 27


@pytest.mark.parametrize("call", calls.patterns())
def test_every_value_of_a_shipped_call_has_a_source(call: str) -> None:
    terms = calls.load(call)
    assert terms.id == call
    assert (terms.model_fields_set | calls.ALWAYS_SOURCED) - calls.NEED_NO_SOURCE == terms.sources.keys()
    assert all(source.url.startswith(("https://", "http://")) for source in terms.sources.values())


def test_an_unknown_call_names_the_nearest() -> None:
    with pytest.raises(UsageError) as raised:
        calls.load("playgrund")
    assert "Did you mean playground?" in raised.value.fix


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TEXT, "tiny.yaml: sources"),
        (TEXT.replace("sources:", "sources: {}"), "tiny.yaml: sources"),
        (TEXT.replace("max_gpu_hours: 5", "max_gpu_hours: some"), "tiny.yaml: max_gpu_hours"),
        (TEXT.replace("id: tiny", "id: other").replace("sources:", "sources: {}"), "tiny.yaml: id"),
        ("id: [", "tiny.yaml"),
    ],
)
def test_a_mistake_in_a_call_is_named_with_file_and_key(text: str, key: str) -> None:
    with pytest.raises(SpecError) as raised:
        calls.parse(text, id="tiny")
    assert key in raised.value.where
