"""The texts of the applicants' pages as they stand in templates and modules, and the catalogues of each language.

`python -m tests.forms.catalogue` brings the .po files up to what is used, and compiles them; new texts stand there
untranslated, and a test names them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

APP = Path(__file__).parents[2] / "src" / "hanse" / "service" / "forms"
LOCALE = APP / "locale"
NAMES = {"de": "German", "fr": "French"}
LANGUAGES = tuple(NAMES)
OFFICERS = {"officer_pages.py", "terms_form.py", "sketches.py"}
"""For officers; theirs stay English."""
KEYWORDS: dict[str, Any] = {"gettext": None, "_": None, "lazy": None, "gettext_lazy": None, "ngettext": (1, 2)}


def used() -> set[str | tuple[str, ...]]:
    """Every text that an applicant may read."""
    from hanse.service.forms.sentences import PATTERNS, WORDS

    found: set[str | tuple[str, ...]] = {*WORDS, *PATTERNS}
    for path in sorted(APP.glob("*.py")):
        if path.name not in OFFICERS:
            found |= _in(path.read_bytes())
    for path in sorted((APP / "templatetags").glob("*.py")):
        found |= _in(path.read_bytes())
    for path in sorted((APP / "templates" / "forms").glob("*.html")):
        found |= _in(templatize(path.read_text("utf-8"), origin=path.name).encode())
    return (found | _raised(APP / "group.py")) - {""}


def _in(source: bytes) -> set[Any]:
    return {message for _line, message, _comments, _context in extract("python", BytesIO(source), KEYWORDS)}


def _raised(path: Path) -> set[str]:
    """Texts given to NotWhole, which are translated where it is caught."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NotWhole"]
    return {str(node.args[1].value) for node in calls if isinstance(node.args[1], ast.Constant)}


def place(language: str, ending: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"django.{ending}"


def catalogue(language: str) -> Catalog:
    with place(language, "po").open("rb") as file:
        return read_po(file, locale=language)


def compiled(catalog: Catalog) -> bytes:
    made = BytesIO()
    write_mo(made, catalog)
    return made.getvalue()


def update(language: str, known: dict[str, str | tuple[str, ...]] | None = None) -> None:
    """The catalogue with what is used now, in order; what was translated stays."""
    held = known if known is not None else {
        one.id if isinstance(one.id, str) else one.id[0]: one.string for one in catalogue(language) if one.id
    }  # fmt: skip
    write(language, used(), held, place)


def write(
    language: str, used: Iterable[str | tuple[str, ...]], held: Mapping[str, Any], place: Callable[[str, str], Path]
) -> None:
    """The .po file with what is used, in order, and what `held` says of it; and the same compiled."""
    made = Catalog(
        locale=language, project="Hanse", header_comment=f"# {NAMES[language]}, for applicants.", fuzzy=False,
        last_translator="Hanse", language_team=language,
    )  # fmt: skip
    for message in sorted(used, key=str):
        key = message if isinstance(message, str) else message[0]
        made.add(message, held.get(key) or ("" if isinstance(message, str) else ("", "")))
    place(language, "po").parent.mkdir(parents=True, exist_ok=True)
    made.creation_date = made.revision_date = datetime(2026, 11, 23, tzinfo=UTC)
    with place(language, "po").open("wb") as file:
        write_po(file, made, width=120, omit_header=False)
    with place(language, "po").open("rb") as file:
        place(language, "mo").write_bytes(compiled(read_po(file, locale=language)))


if __name__ == "__main__":
    from tests.service import environment

    environment.set_up()
    for one in LANGUAGES:
        update(one)
