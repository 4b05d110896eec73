"""The texts of the portal's pages that an applicant sees, and the catalogues of each language; forms has its own.

`python -m tests.portal.catalogue` brings the .po files up to what is used, and compiles them; new texts stand there
untranslated, and a test names them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from hanse.service.portal import sentences
from tests.forms.catalogue import LANGUAGES, NAMES, _in, compiled

SERVICE = Path(__file__).parents[2] / "src" / "hanse" / "service"
LOCALE = SERVICE / "portal" / "locale"
APPS = ("portal", "awarding", "compliance", "notices", "monitoring", "review")
Text = str | tuple[str, ...]


def templates() -> list[Path]:
    """Every template of these apps that is marked for translation; officers' own pages are not."""
    found = [path for app in APPS for path in sorted((SERVICE / app / "templates").rglob("*.html"))]
    return [path for path in found if "i18n" in path.read_text("utf-8")]


def used() -> set[Text]:
    """Every text that an applicant may read."""
    found: set[Text] = set(sentences.lines())
    for path in templates():
        found |= _in(templatize(path.read_text("utf-8"), origin=path.name).encode())
    return found - {""}


def place(language: str, ending: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"django.{ending}"


def catalogue(language: str) -> Catalog:
    with place(language, "po").open("rb") as file:
        return read_po(file, locale=language)


def texts(catalog: Catalog) -> dict[Text, Text]:
    return {one.id if isinstance(one.id, str) else tuple(one.id): one.string for one in catalog if one.id}


def update(language: str, known: Mapping[str, Text] | None = None) -> None:
    """The catalogue with what is used now, in order; what was translated stays."""
    held = dict(known or {})
    if place(language, "po").exists():
        written = texts(catalogue(language))
        held = {one if isinstance(one, str) else one[0]: said for one, said in written.items() if said} | held
    made = Catalog(
        locale=language, project="Hanse", header_comment=f"# {NAMES[language]}, for applicants.", fuzzy=False,
        last_translator="Hanse", language_team=language,
    )  # fmt: skip
    for message in sorted(used(), key=str):
        key = message if isinstance(message, str) else message[0]
        made.add(message, held.get(key) or ("" if isinstance(message, str) else ("", "")))
    place(language, "po").parent.mkdir(parents=True, exist_ok=True)
    made.creation_date = made.revision_date = datetime(2026, 11, 23, tzinfo=UTC)
    with place(language, "po").open("wb") as file:
        write_po(file, made, width=120, omit_header=False)
    place(language, "mo").write_bytes(compiled(catalogue(language)))


if __name__ == "__main__":
    from tests.service import environment

    environment.set_up()
    for one in LANGUAGES:
        update(one)
        sys.stdout.write(f"{one}: {sum(not all(said) for said in texts(catalogue(one)).values())} to translate\n")
