"""A folder of documents of one run, and whether such a folder still says what the records say.

The folder holds each document as JSON (the document), HTML and, if asked for, PDF, beside the record and
the stated facts they were made from and a list of all files with their hashes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from hanse.contracts.document import Document
from hanse.contracts.errors import SiteError, SpecError, UsageError
from hanse.contracts.record import RunRecord
from hanse.files.durable import write_atomically
from hanse.reporting import documents as pages
from hanse.rules.documents import build, croissant

RECORD, FACTS, SUMS, ASKED = "record.json", "facts.json", "SHA256SUMS", "unknown.yaml"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PDF = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--disable-background-networking")


def read_facts(path: Path | None) -> dict[str, str]:
    """What persons stated, by field id. Raises SpecError or UsageError for what is no such file."""
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"cannot read it: {error}", where=str(path), fix="Give a YAML file of field: value.") from None
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise SpecError("this is no list of fields", where=str(path), fix="Write one line a field: `licence: MIT`.")
    stated = {key: "" if value is None else str(value) for key, value in found.items()}
    build.check_facts(stated)
    return {key: value for key, value in stated.items() if value.strip()}


def write(record: RunRecord, facts: dict[str, str], folder: Path, *, pdf: bool = False) -> tuple[Document, ...]:
    """Write every document into `folder`.

    Raises:
        UsageError: `pdf` is asked for and there is no browser to print with.
    """
    browser = _browser() if pdf else None
    documents = build.make_all(record, facts)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {RECORD: record.to_json(), FACTS: json.dumps(facts, indent=2, sort_keys=True) + "\n"}
    for one in documents:
        files[f"{one.kind}.json"], files[f"{one.kind}.html"] = one.to_json(), pages.render(one)
    card = next(one for one in documents if one.kind == "model-card")
    files["README.md"] = pages.model_card(card, record, facts)
    references = croissant.references(record)
    files[ASKED] = _asked(documents) + (_of_holders(references) if references else "")
    files |= references
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, text)
    printed = [_print(browser, folder, one.kind) for one in documents] if browser else []
    sums = {name: _sum(folder / name) for name in sorted([*files, *printed])}
    write_atomically(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    return documents


def _asked(documents: tuple[Document, ...]) -> str:
    """The fields nobody filled in, as a file to fill in and give back with --facts."""
    lines = ["# What the records do not say. Fill in what you know and give this file back with --facts.\n"]
    asked = build.asked_of_people(documents)
    return "".join([*lines, *(f"\n# {one.label}: {one.asked} ({one.who})\n{one.id}:\n" for one in asked)])


def _of_holders(references: Mapping[str, str]) -> str:
    lacking = ", ".join(croissant.LACKING)
    return f"\n# In {', '.join(references)}, {lacking} are left out: the holder of the dataset can add them there.\n"


def _browser() -> str:
    found = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if found is None:
        raise UsageError(
            "PDFs are printed by Chromium, which is not here",
            where="--pdf",
            fix="Install it (Debian: apt-get install chromium), or print the HTML files from a browser.",
        )
    return found


def _print(browser: str, folder: Path, kind: str) -> str:
    target = folder / f"{kind}.pdf"
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [browser, *_PDF, f"--user-data-dir={profile}", f"--print-to-pdf={target.resolve()}",
             (folder / f"{kind}.html").resolve().as_uri()],
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
    if done.returncode or not target.exists():
        raise SiteError("Chromium printed nothing", where=kind, fix="Print the HTML file from a browser.")
    return target.name


def verify(folder: Path) -> tuple[str, ...]:
    """What is wrong with a folder of documents, one sentence each; empty where all stands.

    Raises:
        SpecError: this is no such folder.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        record = RunRecord.from_json((folder / RECORD).read_bytes())
        facts = json.loads((folder / FACTS).read_bytes())
    except (OSError, ValidationError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise SpecError(f"not a folder of documents, or a damaged one: {said}", where=str(folder),
                        fix="Make the documents anew: hanse comply documents RUN.") from None  # fmt: skip
    wrong = [
        f"{name} is missing" if not (folder / name).exists() else f"{name} was changed after it was written"
        for name, digest in sums.items()
        if not (folder / name).exists() or _sum(folder / name) != digest
    ]
    for path in sorted(folder.glob("*.json")):
        if path.name in (RECORD, FACTS):
            continue
        try:
            made = Document.from_json(path.read_bytes())
            found = build.differences(made, record, facts)
        except ValidationError:
            wrong.append(f"{path.name} is no document any more")
            continue
        except SpecError as error:
            return (*wrong, f"{RECORD} contradicts itself: {error.what}")
        wrong += [f"{path.name}: {one.where} says {one.found!r}, the records give {one.expected!r}" for one in found]
    for name, text in croissant.references(record).items():
        if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text:
            wrong.append(f"{name} is not what the record gives")
    return tuple(wrong)


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
