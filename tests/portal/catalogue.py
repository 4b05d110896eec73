"""The texts of the portal's pages that an applicant sees, and the catalogues of each language; forms has its own.

`python -m tests.portal.catalogue` brings the .po files up to what is used, and compiles them; new texts stand there
untranslated, and a test names them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

from hanse.service.portal import sentences
from tests.forms.catalogue import LANGUAGES, _in, write

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
    write(language, used(), held, place)


if __name__ == "__main__":
    from tests.service import environment

    environment.set_up()
    for one in LANGUAGES:
        update(one)
        sys.stdout.write(f"{one}: {sum(not all(said) for said in texts(catalogue(one)).values())} to translate\n")
