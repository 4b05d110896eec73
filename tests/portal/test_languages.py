"""German and French are whole on every page an applicant sees; what is stored and what machines read stays English."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as conf
from django.test import Client
from django.utils import translation

import hanse
from hanse.service.forms.say import say
from hanse.service.notices.models import Preference
from hanse.service.portal import sentences
from tests.forms import catalogue as forms_catalogue
from tests.portal import catalogue, seed
from tests.portal.pages import World, said

SLOTS = re.compile(r"%\(\w+\)s")
IDS = re.compile(r"\b[a-z]{3}-[a-z0-9]{10}\b")
WORDS = re.compile(r"[^\W\d_]{2,}")
FLOORS = ("service", "reporting", "programme", "rules", "machines", "contracts")
ENGLISH = frozenset(["the", "is", "are", "of", "and", "with", "this", "it", "its", "which"])
"""Words that neither German nor French has; one of them betrays a sentence that is English in part."""


def gaps(known: dict[Any, Any], used: set[Any]) -> list[str]:
    """What is not translated, no longer used, or lost a value."""
    found = [f"not translated: {one}" for one in used if not all(known.get(one) or ("",))]
    found += [f"not used: {one}" for one in known.keys() - used]
    for text, told in known.items():
        for source, target in zip(*((one,) if isinstance(one, str) else one for one in (text, told)), strict=True):
            if target and sorted(set(SLOTS.findall(source))) != sorted(set(SLOTS.findall(target))):
                found.append(f"other values: {source}")
    return sorted(found)


def left_in_english(english: list[str], other: list[str], data: set[str]) -> list[str]:
    """Texts of more than three words that both pages say, and texts with an English word; data apart."""
    both, found = set(english) & set(other), []
    for text in dict.fromkeys(other):
        own = IDS.sub("", text)
        for one in data:
            own = own.replace(one, "")
        words = WORDS.findall(own)
        if (text in both and len(words) > 3) or ENGLISH & {word.lower() for word in words}:
            found.append(text)
    return found


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_every_text_of_the_applicants_pages_is_translated_with_its_values(language: str) -> None:
    written = catalogue.catalogue(language)
    known, used = catalogue.texts(written), catalogue.used()
    assert gaps(known, used) == []
    assert not [one.id for one in written if one.fuzzy]
    without = {text: told for text, told in known.items() if text != "Compute left"}
    assert gaps(without, used) == ["not translated: Compute left"], "the check can fail"
    assert gaps(known | {"By %(by)s. You need do nothing until then.": "Bis dann."}, used)


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    assert catalogue.place(language, "mo").read_bytes() == forms_catalogue.compiled(catalogue.catalogue(language))


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_what_stands_in_two_catalogues_is_said_alike(language: str) -> None:
    here, there = (catalogue.texts(one.catalogue(language)) for one in (catalogue, forms_catalogue))
    assert [text for text in here.keys() & there.keys() if here[text] != there[text]] == []


@cache
def _constants() -> str:
    """Every text in the house's code and in its calls."""
    found = []
    root = Path(hanse.__file__).parent
    for path in (one for floor in FLOORS for one in (root / floor).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        found += [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    found += [path.read_text("utf-8") for path in (root / "programme").rglob("*.yaml")]
    return "\n".join(found).lower()


def test_what_stands_on_the_list_of_sentences_is_still_said_somewhere() -> None:
    gone = []
    for line in sentences.lines():
        words = [part.split() for part in re.split(r"[.;:,]? ?%\(\w+\)s|[.;:,\xa0] ?", line.lower())]
        pairs = [" ".join(pair) for part in words for pair in pairwise(part)]
        if sum(map(len, words)) > 5 and pairs and not any(pair in _constants() for pair in pairs):
            gone.append(line)
    assert not gone, "\n".join(gone)


@pytest.mark.django_db
def test_no_page_of_an_applicant_says_a_sentence_in_english(settings: Any) -> None:
    settings.HANSE_AWARDS_BY = 2
    world = World()
    data, found = world.data(), []
    for person, path, status in world.addresses():
        client, told = world.client(person), {}
        for language in ("en", "de", "fr"):
            answer = client.get(path, HTTP_ACCEPT_LANGUAGE=language)
            page = answer.content.decode()
            assert answer.status_code == status, path
            assert f'<html lang="{language}">' in page, path
            assert all(f'name="language" value="{one}"' in page for one in ("en", "de", "fr")), path
            told[language] = said(page)
        for language in catalogue.LANGUAGES:
            found += [(language, path, text) for text in left_in_english(told["en"], told[language], data)]
    assert not found, "\n".join(map(str, found))


def test_a_sentence_left_in_english_is_found() -> None:
    whole, part = "You need do nothing until then.", "Bis dahin is nichts zu tun."
    assert left_in_english([whole], [whole], set()) == [whole]
    assert left_in_english([whole], [part], set()) == [part]
    assert left_in_english(["A plan of our own"], ["A plan of our own"], {"A plan of our own"}) == []


@pytest.mark.parametrize(
    ("text", "german", "french"),
    [("1,234.5 h", "1.234,5 h", "1 234,5 h"),
     ("14,400 GPU-hours", "14.400 GPU-Stunden", "14 400 heures GPU"),
     ("63 %", "63 %", "63 %"),
     ("Friday 1 January 2027, 10:00 Brussels", "Freitag, 1. Januar 2027, 10:00 (Brüssel)",
      "vendredi 1er janvier 2027, 10:00 (Bruxelles)"),
     ("29 January 2027", "29. Januar 2027", "29 janvier 2027"),
     ("1 node", "1 Knoten", "1 nœud"), ("2 nodes", "2 Knoten", "2 nœuds"),
     ("The hours are used up: 0.5 GPU-hours are left, too few for another attempt.",
      "Die Stunden sind verbraucht: 0,5 GPU-Stunden sind übrig, zu wenig für einen weiteren Versuch.",
      "Les heures sont épuisées : il reste 0,5 heures GPU, trop peu pour un autre essai."),
     ("Letters to people", "Letters to people", "Letters to people"),
     ("2.8.1", "2.8.1", "2.8.1")],
)  # fmt: skip
def test_numbers_dates_and_sentences_with_values_are_said_in_the_languages_way(
    text: str, german: str, french: str
) -> None:
    given = re.sub(r"(?<=\d) (?=GPU|h$|%|node|J)", "\N{NO-BREAK SPACE}", text)
    for language, wanted in (("de", german), ("fr", french)):
        with translation.override(language):
            assert re.sub(r"\s", " ", say(given)) == wanted
    with translation.override("en-gb"):
        assert say(given) == given


@pytest.mark.django_db
def test_a_language_is_chosen_by_the_browser_then_a_cookie_then_the_person_and_follows_them() -> None:
    ida, client = seed.person("ida"), Client(HTTP_ACCEPT_LANGUAGE="fr")
    assert '<html lang="fr">' in client.get("/login/").content.decode()
    client.post("/i18n/setlang/", {"language": "de", "next": "/login/"})
    assert '<html lang="de">' in client.get("/login/").content.decode()
    client.force_login(ida)
    client.post("/i18n/setlang/", {"language": "fr", "next": "/"})
    assert Preference.objects.get(person=ida).language == "fr"
    elsewhere = Client(HTTP_ACCEPT_LANGUAGE="en")
    told = elsewhere.post("/login/", {"login": "ida", "password": seed.PASSWORD}, follow=True).content.decode()
    assert '<html lang="fr">' in told and "Ensuite" in told
    elsewhere.post("/notices/preference/", {"language": "de", "mail": "on"})
    assert '<html lang="de">' in elsewhere.get("/").content.decode()
    assert elsewhere.post("/i18n/setlang/", {"language": "xx", "next": "/"}).status_code == 302
    assert Preference.objects.get(person=ida).language == "de"


@pytest.mark.django_db
def test_too_large_a_request_and_a_lost_form_are_refused_in_the_readers_language() -> None:
    client = Client(enforce_csrf_checks=True, HTTP_ACCEPT_LANGUAGE="de")
    size = str(conf.DATA_UPLOAD_MAX_MEMORY_SIZE * 2)
    refused = client.generic("POST", "/login/", b"", CONTENT_LENGTH=size)
    assert refused.status_code == 413 and "Das war zu viel auf einmal" in refused.content.decode()
    assert "Höchstens 10,5" in refused.content.decode()
    assert "Das Formular ist abgelaufen" in client.post("/login/", {"login": "x"}).content.decode()


@pytest.mark.django_db
def test_what_machines_read_and_what_is_kept_as_a_file_stays_english() -> None:
    from tests.reporting import records

    ida = seed.person("ida", organisation=seed.organisation())
    run = seed.run(records.finished(), ida)
    client = Client(HTTP_ACCEPT_LANGUAGE="de")
    client.force_login(ida)
    report = client.get(f"/runs/{run.public_id}/report.html").content.decode()
    assert "Predicted and measured" in report and "Vorhergesagt" not in report
    assert "Vorhergesagt und gemessen" in client.get(f"/runs/{run.public_id}/report/").content.decode()
    assert client.get("/api/v1/runs/nothing").json()["what"].isascii()
