"""German and French are whole on the applicants' pages, and what is compiled is what is written."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.utils import translation

from hanse.service.forms.say import say
from tests.forms import catalogue, room
from tests.portal import seed

SLOTS = re.compile(r"%\(\w+\)s")
spoken = pytest.mark.skipif(not settings.USE_I18N, reason="the settings do not offer languages")


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_every_text_an_applicant_reads_is_translated_with_its_values(language: str) -> None:
    written = [one for one in catalogue.catalogue(language) if one.id]
    known = {one.id if isinstance(one.id, str) else tuple(one.id): one.string for one in written}
    used = catalogue.used()
    assert sorted(map(str, used - known.keys())) == []
    assert sorted(map(str, known.keys() - used)) == [], "no longer used"
    for text, said in known.items():
        for source, target in zip(*((one,) if isinstance(one, str) else one for one in (text, said)), strict=True):
            assert target, source
            assert sorted(SLOTS.findall(source)) == sorted(SLOTS.findall(target)), source
            if SLOTS.search(source):
                target % {name[2:-2]: "x" for name in SLOTS.findall(source)}


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    assert catalogue.place(language, "mo").read_bytes() == catalogue.compiled(catalogue.catalogue(language))


@spoken
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "words"),
    [("de", ("Entwürfe", "Speichern und weiter", "Es fehlt: die wissenschaftliche Frage")),
     ("fr", ("Brouillons", "Enregistrer et continuer", "Manque : la question scientifique"))],
)  # fmt: skip
def test_the_pages_speak_the_language_that_the_browser_asks_for(language: str, words: tuple[str, ...]) -> None:
    room.publish()
    ida = seed.person("ida")
    client, draft = room.signed_in(ida), room.kept(ida)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    for path in ("/calls/", "/calls/fast-lane/", "/calls/suggest/?gpu_hours=1", "/drafts/", "/welcome/",
                 f"/drafts/{draft.public_id}/check/", f"/drafts/{draft.public_id}/organisation/"):  # fmt: skip
        assert client.get(path).status_code in (200, 422)
    page = client.get(f"/drafts/{draft.public_id}/project/").content.decode()
    for one in words:
        assert one in page


@spoken
@pytest.mark.parametrize(
    ("text", "said"),
    [("Missing: which machine.", "Es fehlt: welche Maschine."),
     ("It is a large enterprise.", "Es ist ein Großunternehmen."),
     ("A sentence that nobody knows.", "A sentence that nobody knows.")],
)  # fmt: skip
def test_sentences_with_values_are_said_in_the_readers_language(text: str, said: str) -> None:
    with translation.override("de"):
        assert say(text) == said
    with translation.override("en-gb"):
        assert say(text) == text
