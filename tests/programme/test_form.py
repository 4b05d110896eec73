"""The whole form: drafts, gaps by section and field, and what comes of a complete one."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.application import (
    Applicant,
    Code,
    Compute,
    Data,
    Declarations,
    Draft,
    Jobs,
    MonthOfUse,
    OrganisationDetails,
    Project,
    ResearchField,
    Storage,
    TeamMember,
    WholeForm,
    Workflow,
)  # fmt: skip
from hanse.contracts.enterprise import Accounts, Enterprise, Group, Tie
from hanse.contracts.errors import UsageError
from hanse.programme import calls, completeness, drafts, eligibility, formats

FAST, PLAYGROUND, LARGE = (calls.load(name) for name in ("fast-lane", "playground", "large-scale"))


def firm(id: str, staff: float) -> Enterprise:
    return Enterprise(id=id, accounts=(Accounts(year=2025, staff=staff, turnover_eur=10**6, balance_sheet_eur=10**6),))


GROUP = Group(applicant="norrlyd", enterprises=(firm("norrlyd", 12),))
WHOLE = WholeForm(
    project=Project(
        title="Nordic 30B", abstract="A model of five languages.", case="Small languages lack models.",
        keywords=("language model",), purpose="train-ai", track="industrial", duration_months=3,
        fields=(ResearchField(panel="PE6_11", share=0.6), ResearchField(panel="SH4_8", share=0.4)),
    ),
    applicant=Applicant(
        given_names="Ida", family_name="Berg", email="ida@norrlyd.example", job_title="Lead",
        employment_is_permanent=True, track_record="EHPC-DEV in 2025.",
    ),
    organisation=OrganisationDetails(
        legal_name="Norrlyd AB", vat_number="SE556012579001", pic="999997930", address="Hamngatan 1, Luleå",
        head_office_in_europe=True, group=GROUP,
    ),
    compute=Compute(
        machine="leonardo-booster", gpu_hours=40_000, arithmetic="10,000 steps × 36 s × 400 accelerators.",
        jobs=Jobs(
            nodes_largest=100, accelerators_per_node=4, wall_time_s=86_400, at_once=1, memory_bytes_largest=10**13,
            checkpoints=True,
        ),
        storage=Storage(scratch_bytes=10**13, why="Data and two checkpoints."),
        by_month=(MonthOfUse(month=1, gpu_hours=20_000), MonthOfUse(month=3, gpu_hours=20_000)),
        scaling_evidence="Run nordic-7b-02: 92 % from 1 to 32 nodes.",
    ),
    workflow=Workflow(text="Train, then evaluate.", container=True, codes=(Code(name="hanse"),)),
    data=Data(sources="Libraries.", rights="Licences.", personal=False, output_will_be_open=True),
    declarations=Declarations(
        civilian_use_only=True, any_part_confidential=False, names_may_be_published=False, accepts_terms=True,
        figures_are_true=True,
    ),
)  # fmt: skip
DRAFT = Draft(
    call="fast-lane", call_version=FAST.version, organisation="Norrlyd", organisation_kind="sme", country="SE",
    contact_email="ida@norrlyd.example", whole=WHOLE,
)  # fmt: skip


TOO_MUCH = (ResearchField(panel="a", share=0.7), ResearchField(panel="b", share=0.4))


def with_(path: str, new: Any, draft: Draft = DRAFT) -> Draft:
    """The draft with another value at a path."""

    def put(held: Any, names: list[str]) -> Any:
        name, *rest = names
        return held.model_copy(update={name: put(getattr(held, name), rest) if rest else new})

    changed: Draft = put(draft, path.split("."))
    return changed


def found(draft: Draft, terms: Any = FAST) -> list[tuple[str, str]]:
    return [(gap.section, gap.field) for gap in completeness.gaps(draft, terms)]


def test_a_complete_draft_becomes_an_application_that_carries_all_of_it() -> None:
    form = drafts.form_of(DRAFT, FAST)
    assert (form.title, form.gpu_hours, form.machine, form.call_version) == (
        "Nordic 30B",
        40_000,
        "leonardo-booster",
        2,
    )
    assert form.whole == WHOLE
    assert drafts.draft_of(form) == DRAFT


def test_an_empty_draft_is_a_valid_draft_and_lacks_all_that_the_call_wants() -> None:
    lacking = completeness.gaps(Draft(call="large-scale"), LARGE)
    assert {gap.kind for gap in lacking} == {"missing"}
    assert {gap.section for gap in lacking} >= {"Application", "Project", "Compute", "Responsible AI", "Declarations"}
    assert Draft.from_json(Draft().to_json()) == Draft()


def test_the_playground_asks_the_short_form_only() -> None:
    short = Draft(
        call="playground", organisation="Kontor 17", organisation_kind="start-up", country="DE",
        contact_email="ada@kontor17.example",
        whole=WholeForm(
            project=Project(title="A walk", abstract="Learn.", duration_months=1),
            compute=Compute(machine="local", gpu_hours=10),
        ),
    )  # fmt: skip
    assert found(short, PLAYGROUND) == []


def test_what_is_missing_is_named_with_section_and_field_and_how_much_follows() -> None:
    draft = with_("whole.applicant.email", None, with_("whole.compute.storage.why", None))
    with pytest.raises(UsageError) as raised:
        completeness.require(draft, FAST, where="mine.yaml")
    assert raised.value.what == "Principal investigator: Missing: an e-mail address at the institution."
    assert raised.value.where == "mine.yaml: whole.applicant.email"
    assert "1 more after this one" in raised.value.fix


@pytest.mark.parametrize(
    ("path", "new", "section", "says"),
    [
        ("whole.organisation.vat_number", "SE556012579002", "Organisation", "cannot be a VAT number of SE"),
        ("whole.organisation.vat_number", "DE136695976", "Organisation", "begins with DE"),
        ("whole.organisation.pic", "12345", "Organisation", "nine digits"),
        ("whole.applicant.email", "ida.norrlyd.example", "Principal investigator", "cannot be an e-mail"),
        ("contact_email", "ida@norrlyd", "Application", "cannot be an e-mail"),
        ("whole.compute.gpu_hours", 41_000, "Compute", "come to 40,000 GPU-hours, and 41,000 are asked"),
        ("whole.project.duration_months", 2, "Compute", "Month 3 lies after the 2 months"),
        ("whole.project.fields", TOO_MUCH, "Project", "110 %"),
        ("whole.declarations.civilian_use_only", False, "Declarations", "civilian purposes only"),
        ("whole.declarations.accepts_terms", False, "Declarations", "have to be accepted"),
        ("call_version", 1, "Application", "version 1 of Fast lane access, which is at version 2"),
        ("whole.team", (TeamMember(name="Bo", email="bo@x.example", country="US"),), "Team", "US is in none"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_in_a_sentence(path: str, new: Any, section: str, says: str) -> None:
    (gap,) = completeness.gaps(with_(path, new), FAST)
    of_the_months = ("whole.project.duration_months", "whole.compute.gpu_hours")
    field = "whole.compute.by_month" if path in of_the_months else path
    assert (gap.section, gap.field, gap.kind) == (section, field, "wrong")
    assert says in gap.message


@pytest.mark.parametrize(
    ("path", "new", "then"),
    [
        ("whole.data.personal", True, "whole.data.personal_safeguards"),
        ("whole.declarations.any_part_confidential", True, "whole.declarations.confidential_parts"),
        ("whole.applicant.employment_is_permanent", False, "whole.applicant.employed_until"),
        ("whole.organisation.group", None, "whole.organisation.group"),
        ("whole.organisation.vat_number", None, "whole.organisation.vat_number"),
    ],
)
def test_an_answer_entails_what_has_to_stand_beside_it(path: str, new: Any, then: str) -> None:
    assert [field for _, field in found(with_(path, new))] == [then]


def test_a_contract_has_to_outlast_the_award_by_three_months() -> None:
    draft = with_("whole.project.starts", date(2027, 1, 31), with_("whole.applicant.employed_until", date(2027, 7, 30)))
    (gap,) = completeness.gaps(draft, FAST)
    assert "until 31 July 2027" in gap.message
    assert found(with_("whole.applicant.employed_until", date(2027, 7, 31), draft)) == []


def test_a_small_enterprise_whose_parent_is_large_is_denied_as_an_sme() -> None:
    tied = Group(
        applicant="norrlyd", enterprises=(firm("norrlyd", 12), firm("koncern", 900)),
        ties=(Tie(owner="koncern", owned="norrlyd", capital=0.8, votes=0.8),),
    )  # fmt: skip
    assert found(with_("whole.organisation.group", tied)) == []
    form = drafts.form_of(with_("whole.organisation.group", tied), FAST)
    day = date(2026, 11, 23)
    said = next(one for one in eligibility.check(form, FAST, day) if one.rule == "call.size")
    assert said.verdict == "deny"
    assert "Norrlyd is a large enterprise" in said.reason
    own = next(one for one in eligibility.check(drafts.form_of(DRAFT, FAST), FAST, day) if one.rule == "call.size")
    assert own.verdict == "allow"
    start_up = form.model_copy(update={"organisation_kind": "start-up"})
    assert next(one for one in eligibility.check(start_up, FAST, day) if one.rule == "call.size").verdict == "review"


def test_a_form_for_one_call_is_used_again_for_another() -> None:
    again = drafts.reuse(DRAFT, LARGE)
    assert (again.call, again.call_version) == ("large-scale", LARGE.version)
    assert again.whole.organisation == WHOLE.organisation
    assert again.whole.declarations == Declarations()
    assert again.whole.project.duration_months == 3
    longer = drafts.reuse(with_("whole.project.duration_months", 2), LARGE)
    assert (longer.whole.project.duration_months, longer.whole.compute.by_month) == (None, ())
    lacking = {section for section, _ in found(again, LARGE)}
    assert lacking == {"Team", "Dissemination", "Responsible AI", "Declarations"}


def test_a_short_form_that_contradicts_its_sections_is_refused() -> None:
    form = drafts.form_of(DRAFT, FAST).model_copy(update={"gpu_hours": 20_000})
    with pytest.raises(UsageError, match="Compute: 40000 stands here and 20000 in the short form"):
        drafts.draft_of(form)


@pytest.mark.parametrize(
    ("number", "country", "kept"),
    [
        ("DE 136 695 976", "DE", "DE136695976"),
        ("136695976", "DE", "DE136695976"),
        ("094259216", "GR", "EL094259216"),
        ("CHE-107.787.577 IVA", "CH", "CHE107787577IVA"),
        ("UA 12345678", "UA", "UA12345678"),
    ],
)
def test_a_vat_number_is_written_down_in_one_way(number: str, country: str, kept: str) -> None:
    assert formats.vat(number, country) == kept


@given(st.integers(0, 9), st.integers(0, 8))
@settings(max_examples=30, deadline=None)
def test_one_wrong_digit_makes_no_german_vat_number(digit: int, at: int) -> None:
    right = "136695976"
    other = right[:at] + str(digit) + right[at + 1 :]
    if other == right:
        assert formats.vat(other, "DE") == f"DE{right}"
    else:
        with pytest.raises(ValueError, match="cannot be a VAT number"):
            formats.vat(other, "DE")


def test_an_amendment_says_which_terms_it_changed() -> None:
    newer = FAST.model_copy(update={"version": 3, "max_gpu_hours": 60_000, "sources": {}})
    assert drafts.amended(FAST, newer) == ("max_gpu_hours",)
