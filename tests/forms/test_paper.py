"""The application on paper: every section and letter is in the PDF, and nothing that is typed is a command."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.application import Draft, ScalingPoint
from hanse.service.forms import paper
from tests.forms import room
from tests.programme.test_form import with_


def text_of(pdf: bytes) -> str:
    """The text, by the fonts' own tables of characters: what a reader finds when they search or copy."""
    streams = {}
    for number, body in re.findall(rb"(\d+) 0 obj\s(.*?)endobj", pdf, re.S):
        found = re.search(rb"stream\r?\n(.*?)\r?\nendstream", body, re.S)
        if found:
            data = found[1]
            streams[int(number)] = zlib.decompress(data) if b"FlateDecode" in body else data
    letters: dict[bytes, str] = {}
    shown = []
    for body in streams.values():
        if b"begincmap" in body:
            for _code, target in re.findall(rb"<([0-9A-Fa-f]{4})> <([0-9A-Fa-f]+)>", body):
                letters[target.upper()] = bytes.fromhex(target.decode()).decode("utf-16-be")
        shown.append(body)
    return "".join(sorted(set("".join(letters.values()))))


def test_greek_cyrillic_and_accents_are_letters_in_the_pdf() -> None:
    names = "Ελληνική Εταιρεία, Ђорђе Петровић, Łódź, Çağrı, Ångström, Größe"
    pdf = paper.render(with_("whole.project.title", names, room.ready()), room.terms(), state="draft")
    assert pdf.startswith(b"%PDF-")
    assert set(names) - {" "} <= set(text_of(pdf))


@pytest.mark.parametrize("text", ["#panic()", "$ x $", "*bold* _it_ `raw`", "= Heading", "\\ #read(\"/etc/passwd\")",
                                  "<label> @ref", "// comment", "]", "#{1", "'\"“”", "a\n\n- b\n+ c"])  # fmt: skip
def test_nothing_that_is_typed_is_a_command(text: str) -> None:
    draft = with_("whole.project.abstract", text, room.ready())
    assert paper.content(draft, room.terms(), state="draft")["sections"][1]["pairs"][1][1] == text.strip()
    letters = set(text_of(paper.render(draft, room.terms(), state="draft")))
    assert {one for one in text if one not in " \n'\""} <= letters


@settings(max_examples=12, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40))
def test_any_text_makes_a_pdf(text: str) -> None:
    draft = with_("whole.project.title", text or None, room.ready())
    assert paper.render(draft, None, state="draft").startswith(b"%PDF-")


def test_every_section_that_was_answered_or_asked_for_is_on_paper_with_months_and_scaling() -> None:
    points = tuple(
        ScalingPoint(nodes=n, accelerators=4 * n, tokens_per_s=100.0 * n**0.9, speed_up=n**0.9, efficiency=n**-0.1)
        for n in (1, 2, 4)
    )
    draft = with_("whole.compute.scaling", points, room.ready())
    told = paper.content(draft, room.terms(), state="sent")
    titles = {section["title"]: section for section in told["sections"]}
    assert {"Project", "Compute", "Declarations", "The gate’s questions"} <= titles.keys()
    assert [table["title"] for table in titles["Compute"]["tables"]] == ["Use by month", "Measured or predicted sizes"]
    assert len(titles["Compute"]["plot"]) == 3
    assert titles["Organisation"]["tables"][-1]["title"].startswith("Size by these figures")
    pdf = paper.render(draft, room.terms(), state="sent", id="app-1")
    assert len(re.findall(rb"/Type ?/Page\b", pdf)) + pdf.count(b"/ObjStm") >= 1


def test_an_empty_draft_is_a_page_too() -> None:
    assert paper.render(Draft(), None, state="draft").startswith(b"%PDF-")


@pytest.mark.django_db
def test_draft_and_application_are_handed_out_as_pdf_and_json() -> None:
    from hanse.service.access.models import Application
    from tests.portal import seed

    room.publish()
    ida = seed.person("ida")
    client, draft = room.signed_in(ida), room.kept(ida, room.ready())
    client.post(f"/drafts/{draft.public_id}/send/", {"revision": 1})
    sent: Any = Application.objects.get()
    for path in (f"/drafts/{draft.public_id}/draft.pdf", f"/applications/{sent.public_id}/form.pdf"):
        answer = client.get(path)
        assert answer.content.startswith(b"%PDF-")
        assert answer["Content-Type"] == "application/pdf"
    back = Draft.model_validate_json(client.get(f"/applications/{sent.public_id}/form.json").content)
    assert back == room.ready()
