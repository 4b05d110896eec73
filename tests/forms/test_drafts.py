"""Drafts in the portal: saved as one types, checked as one goes, never overwritten, filled from a plan, and sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from hanse.contracts.application import Draft
from hanse.contracts.errors import Conflict, PolicyError
from hanse.service.access.models import Application
from hanse.service.forms.models import KeptDraft
from hanse.service.runs.models import Event
from tests.contracts.examples import EXAMPLES
from tests.forms import room
from tests.portal import seed
from tests.portal.test_pages import read

pytestmark = pytest.mark.django_db


@pytest.fixture
def ida() -> Any:
    room.publish()
    return seed.person("ida")


def latest(draft: KeptDraft) -> KeptDraft:
    return KeptDraft.objects.get(pk=draft.pk)


def test_every_section_of_a_full_draft_is_a_sound_page_with_an_address_of_its_own(ida: Any) -> None:
    from hanse.service.forms.fields import SECTIONS

    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    for name in SECTIONS:
        read(client, f"/drafts/{draft.public_id}/{name}/")
    for path in ("/drafts/", f"/drafts/{draft.public_id}/check/", "/calls/", "/calls/fast-lane/", "/welcome/"):
        read(client, path)


def test_saving_any_section_as_it_is_shown_changes_nothing(ida: Any) -> None:
    from hanse.service.forms.fields import SECTIONS
    from hanse.service.forms.shown import section

    kept = room.kept(ida, room.ready())
    client = room.signed_in(ida)
    for name in SECTIONS:
        if name == "questions":
            continue
        fields = section(name, kept.draft, {})
        data = {one.name: one.value for one in fields if one.field.kind != "rows"}
        data |= {cell.name: cell.value for one in fields for row in one.rows for cell in row}
        response = client.post(f"/drafts/{kept.public_id}/{name}/", {"revision": latest(kept).revision, **data})
        assert response.status_code == 302, (name, response.context and response.context["wrong"])
        now = latest(kept).draft.model_dump(mode="json")
        was = room.ready().model_dump(mode="json")
        group = now["whole"]["organisation"]["group"]
        if name == "organisation":
            assert [one["accounts"] for one in group["enterprises"]] == [
                one["accounts"] for one in was["whole"]["organisation"]["group"]["enterprises"]
            ]
        now["whole"]["organisation"]["group"] = was["whole"]["organisation"]["group"] = None
        assert now == was, name


def test_what_is_typed_is_saved_with_its_gaps_and_nothing_else_is_asked_first(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    answer = client.post(
        f"/drafts/{draft.public_id}/project/",
        {"revision": 1, "whole.project.title": "Nordic 30B", "whole.project.keywords": "a, b"},
        headers={"HX-Request": "true"},
    )
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "Saved at" in text
    assert 'name="revision" value="2" hx-swap-oob' in text
    assert "the scientific case or the technical problem" in text
    assert latest(draft).draft.whole.project.keywords == ("a", "b")


def test_what_cannot_be_read_is_kept_as_it_was_typed_and_told_at_its_field(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    answer = room.post(
        client, draft, "compute", whole__compute__gpu_hours="forty thousand", whole__compute__partition="booster"
    )
    assert answer.status_code == 422
    kept = latest(draft)
    assert (kept.draft.whole.compute.partition, kept.draft.whole.compute.gpu_hours) == ("booster", None)
    assert kept.unread == {"whole.compute.gpu_hours": "forty thousand"}
    page = client.get(f"/drafts/{draft.public_id}/compute/").content.decode()
    assert 'value="forty thousand"' in page
    assert "cannot be read yet" in page
    assert room.post(client, draft, "compute", whole__compute__gpu_hours="40,000").status_code == 302
    assert (latest(draft).draft.whole.compute.gpu_hours, latest(draft).unread) == (40_000, {})


@pytest.mark.parametrize(
    ("typed", "hours"), [("1,500", 1500), ("1.500", 1500), ("1 500", 1500), ("2400000", 2_400_000), ("0", None)]
)
def test_numbers_are_read_as_people_write_them(ida: Any, typed: str, hours: int | None) -> None:
    draft = room.kept(ida)
    answer = room.post(room.signed_in(ida), draft, "compute", whole__compute__gpu_hours=typed)
    assert latest(draft).draft.whole.compute.gpu_hours == hours
    assert (answer.status_code == 302) is (hours is not None)


def test_a_wrong_vat_number_is_kept_and_told_at_once(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    room.post(client, draft, "organisation", whole__organisation__vat_number="SE556012579002")
    page = client.get(f"/drafts/{draft.public_id}/organisation/").content.decode()
    assert "SE556012579002 cannot be a VAT number of SE" in page
    assert latest(draft).draft.whole.organisation.vat_number == "SE556012579002"
    check = client.get(f"/drafts/{draft.public_id}/check/").content.decode()
    assert "aria-disabled" in check
    assert "cannot be a VAT number of SE" in check


def test_of_two_tabs_in_one_section_the_second_gets_one_message_and_both_texts(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    room.post(client, draft, "project", revision=1, whole__project__title="First text")
    answer = room.post(client, draft, "project", revision=1, whole__project__title="Second text")
    page = answer.content.decode()
    assert answer.status_code == 409
    assert 'value="Second text"' in page
    assert "First text" in page
    assert latest(draft).title == "First text"
    again = room.post(client, draft, "project", revision=answer.context["kept"].revision,
                      whole__project__title="Second text")  # fmt: skip
    assert again.status_code == 302
    assert latest(draft).title == "Second text"


def test_two_persons_in_two_sections_do_not_disturb_each_other(ida: Any) -> None:
    home = seed.organisation()
    bo = seed.person("bo", organisation=home)
    home.memberships.create(person=ida, role="member")
    draft = room.kept(ida)
    assert room.signed_in(bo).get(f"/drafts/{draft.public_id}/project/").status_code == 404
    room.signed_in(ida).post(f"/drafts/{draft.public_id}/share/", {"organisation": home.public_id})
    room.post(room.signed_in(ida), draft, "project", revision=1, whole__project__title="Nordic")
    answer = room.post(room.signed_in(bo), draft, "data", revision=1, whole__data__sources="Libraries")
    assert answer.status_code == 302
    kept = latest(draft)
    assert (kept.title, kept.draft.whole.data.sources, kept.saved_by) == ("Nordic", "Libraries", bo)
    late = room.post(room.signed_in(bo), draft, "project", revision=1, whole__project__title="Other")
    assert late.status_code == 409
    assert "ida changed this section" in late.content.decode()


def test_one_who_read_before_another_saved_elsewhere_is_told_to_repeat_and_loses_nothing(ida: Any) -> None:
    draft = room.kept(ida)
    stale = latest(draft)
    latest(draft).save_section("data", draft.draft, {}, seen=1, by=ida)
    with pytest.raises(Conflict, match="same moment"):
        stale.save_section("project", draft.draft, {}, seen=1, by=ida)


def test_rows_are_added_changed_and_emptied(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    row = "whole__team__{}__{}"
    typed = {
        row.format(0, "name"): "Bo", row.format(0, "email"): "bo@norrlyd.example", row.format(0, "role"): "member",
        row.format(1, "name"): "", row.format(1, "role"): "member",
    }  # fmt: skip
    assert room.post(client, draft, "team", **typed).status_code == 302
    assert [one.name for one in latest(draft).draft.whole.team] == ["Bo"]
    half = room.post(client, draft, "team", whole__team__0__name="Eva")
    assert half.status_code == 422
    assert "Row 1: E-mail is missing" in half.content.decode()
    assert [one.name for one in latest(draft).draft.whole.team] == ["Bo"], "what was right stays until it is replaced"
    assert 'value="Eva"' in client.get(f"/drafts/{draft.public_id}/team/").content.decode()
    assert room.post(client, draft, "team", whole__team__0__name="").status_code == 302
    assert latest(draft).draft.whole.team == ()


def group(**more: str) -> dict[str, str]:
    base = "whole.organisation.group."
    typed = {
        "enterprises.0.name": "Norrlyd", "enterprises.0.kind": "enterprise", "enterprises.0.year": "2025",
        "enterprises.0.staff": "12", "enterprises.0.turnover_eur": "1,000,000",
        "enterprises.0.balance_sheet_eur": "1,000,000",
        "enterprises.1.name": "Giant", "enterprises.1.kind": "enterprise", "enterprises.1.year": "2025",
        "enterprises.1.staff": "3000", "enterprises.1.turnover_eur": "900,000,000",
        "enterprises.1.balance_sheet_eur": "800,000,000",
        "ties.0.owner": "Giant", "ties.0.owned": "Norrlyd", "ties.0.capital": "60", "ties.0.votes": "60",
    }  # fmt: skip
    return {(base + name).replace(".", "__"): text for name, text in (typed | more).items()}


def test_a_linked_enterprise_makes_a_small_one_large_while_it_is_typed(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    data = {name.replace("__", "."): text for name, text in group().items()}
    answer = client.post(
        f"/drafts/{draft.public_id}/organisation/", {"revision": 1, **data}, headers={"HX-Request": "true"}
    ).content.decode()
    assert "It is a large enterprise." in answer
    assert "Giant is linked to it and counts in full." in answer
    assert "by these figures it is none" in answer


def test_a_tie_to_one_that_is_not_described_is_told_and_both_lists_are_kept(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    answer = room.post(client, draft, "organisation", **group(**{"ties.0.owner": "Gaint"}))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Row 1: Gaint is not among the enterprises." in page
    assert 'value="Gaint"' in page
    assert 'value="Giant"' in page


def plan_file(**beside: Any) -> SimpleUploadedFile:
    told = {"plan": json.loads(EXAMPLES["plan"].to_json()), "scaling": json.loads(EXAMPLES["scaling-table"].to_json())}
    return SimpleUploadedFile("plan.json", json.dumps(told | beside).encode(), "application/json")


def test_a_plan_fills_the_section_and_a_changed_value_can_be_put_back(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    client.post(f"/drafts/{draft.public_id}/plan/", {"revision": 1, "plan": plan_file()})
    filled = latest(draft).draft.whole.compute
    assert filled.machine == EXAMPLES["plan"].machine  # type: ignore[attr-defined]
    assert "from plan" in client.get(f"/drafts/{draft.public_id}/compute/").content.decode()
    room.post(client, draft, "compute", whole__compute__gpu_hours="999")
    page = client.get(f"/drafts/{draft.public_id}/compute/").content.decode()
    assert f"the plan said {filled.gpu_hours:,}" in page
    room.post(client, draft, "compute", put_back="whole.compute.gpu_hours")
    assert latest(draft).draft.whole.compute.gpu_hours == filled.gpu_hours


def test_a_file_that_is_no_plan_is_one_message_and_changes_nothing(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    for content in (b"{}", b"\xff\x00", b"[" * 5000):
        answer = client.post(
            f"/drafts/{draft.public_id}/plan/", {"revision": 1, "plan": SimpleUploadedFile("p.json", content)},
            follow=True,
        )  # fmt: skip
        assert "This is not a plan" in answer.content.decode()
    assert latest(draft).draft == room.ready()


def test_a_complete_draft_is_sent_once_and_is_then_its_application(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    assert "Send the application" in client.get(f"/drafts/{draft.public_id}/check/").content.decode()
    sent = client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1}, follow=True)
    assert sent.status_code == 200
    again = client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1})
    assert again.status_code == 409
    assert Application.objects.count() == 1
    assert latest(draft).application == Application.objects.get()
    assert room.post(client, draft, "project", whole__project__title="Later").status_code == 409
    assert latest(draft).title == "Nordic 30B"


def test_a_draft_that_the_call_refuses_stays_open_with_all_reasons(ida: Any) -> None:
    room.publish(version=2, who=("university",))
    draft, client = room.kept(ida, room.ready(call_version=2)), room.signed_in(ida)
    answer = client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1})
    assert answer.status_code == 409
    assert "does not admit" in answer.content.decode()
    assert latest(draft).state == "open"
    assert not Application.objects.exists()
    assert Event.objects.filter(name="service:draft:refused", subject_id=draft.public_id).exists()


def test_a_call_that_closed_while_one_wrote_is_one_message_and_nothing_is_lost(ida: Any) -> None:
    room.publish(version=2, closes="2026-01-02")
    draft, client = room.kept(ida, room.ready(call_version=2)), room.signed_in(ida)
    answer = client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1})
    assert answer.status_code == 409
    assert latest(draft).draft == room.ready(call_version=2)


def test_who_looked_before_another_changed_it_does_not_send_what_they_did_not_see(ida: Any) -> None:
    draft = room.kept(ida, room.ready())
    latest(draft).save_section("data", draft.draft, {}, seen=1, by=ida)
    with pytest.raises(Conflict, match="since you looked"):
        latest(draft).send(seen=1, by=ida)


def test_an_amended_call_is_told_and_the_draft_goes_on_with_the_new_version(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    room.publish(version=2, max_gpu_hours=45_000)
    assert "It was written for version 1" in client.get(f"/drafts/{draft.public_id}/data/").content.decode()
    client.post(f"/drafts/{draft.public_id}/rebind/", {"revision": 1})
    assert latest(draft).draft.call_version == 2


def test_a_draft_and_a_sent_application_serve_another_call(ida: Any) -> None:
    room.publish(id="other", title="Other call")
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    client.post(f"/drafts/{draft.public_id}/copy/", {"call": "other"})
    client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1})
    client.post(f"/applications/{Application.objects.get().public_id}/copy/", {"call": "other"})
    copies = KeptDraft.objects.filter(state="open")
    assert [one.draft.call for one in copies] == ["other", "other"]
    assert all(one.draft.whole.declarations.accepts_terms is None for one in copies), "declared anew for each call"
    assert all(one.draft.whole.data == room.ready().whole.data for one in copies)


def test_a_draft_leaves_as_json_and_comes_back_the_same(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    content = client.get(f"/drafts/{draft.public_id}/draft.json").content
    client.post("/drafts/new/", {"file": SimpleUploadedFile("d.json", content)})
    assert KeptDraft.objects.count() == 2
    assert [one.draft for one in KeptDraft.objects.all()] == [room.ready(), room.ready()]
    wrong = client.post("/drafts/new/", {"file": SimpleUploadedFile("d.json", b'{"whole": 3}')}, follow=True)
    assert "not a draft as it was exported: whole" in wrong.content.decode()


def test_a_discarded_draft_is_out_of_sight_and_comes_back(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    client.post(f"/drafts/{draft.public_id}/discard/")
    assert client.get(f"/drafts/{draft.public_id}/project/").status_code == 404
    client.post(f"/drafts/{draft.public_id}/restore/")
    assert client.get(f"/drafts/{draft.public_id}/project/").status_code == 200


def test_a_stranger_sees_and_changes_nothing(ida: Any) -> None:
    draft, mallory = room.kept(ida, room.ready()), room.signed_in(seed.person("mallory"))
    base = f"/drafts/{draft.public_id}/"
    for path in ("", "check/", "project/", "draft.pdf", "draft.json"):
        assert mallory.get(base + path).status_code == 404
    for path in ("project/", "send/", "copy/", "plan/", "share/", "discard/", "rebind/", "restore/"):
        assert mallory.post(base + path, {"revision": 1}).status_code == 404
    assert latest(draft).revision == 1
    assert room.signed_in(room.officer()).get(base + "project/").status_code == 404, "an officer reads what is sent"
    with pytest.raises(PolicyError):
        draft.share(None, by=seed.person("eve"))


def test_the_home_page_shows_the_newcomer_the_way_and_the_writer_their_drafts(ida: Any) -> None:
    client = room.signed_in(ida)
    assert "Begin with a call" in client.get("/").content.decode()
    room.kept(ida, Draft(call="fast-lane"))
    assert "New application" in client.get("/").content.decode()


def test_a_nul_in_what_is_typed_or_sent_troubles_no_database(ida: Any) -> None:
    draft, client = room.kept(ida), room.signed_in(ida)
    room.post(client, draft, "project", whole__project__title="Nor\0dic", whole__project__duration_months="\0x")
    assert latest(draft).title == "Nordic"
    assert latest(draft).unread == {"whole.project.duration_months": "x"}
    file = SimpleUploadedFile("d.json", b'{"organisation": "a\\u0000b"}')
    assert "NUL" in client.post("/drafts/new/", {"file": file}, follow=True).content.decode()


def test_whoever_posts_nonsense_gets_an_answer_and_nothing_is_changed(ida: Any) -> None:
    draft, client = room.kept(ida, room.ready()), room.signed_in(ida)
    for data in ({"revision": "x"}, {"revision": "1", "put_back": "whole.project.title"}, {"revision": "9" * 30},
                 {"revision": "1", "put_back": "no.such"}):  # fmt: skip
        answer = client.post(f"/drafts/{draft.public_id}/project/", data)
        assert answer.status_code < 500
    assert latest(draft).draft == room.ready()
    assert client.get(f"/drafts/{draft.public_id}/no-such/").status_code == 404
