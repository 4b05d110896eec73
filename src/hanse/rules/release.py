"""What a release may claim, and its metadata for who cites and archives it. Pure; `hanse publish` writes the folder.

CITATION.cff is of version 1.2.0 (https://citation-file-format.github.io), `.zenodo.json` as Zenodo's deposits read it
(https://developers.zenodo.org). A release without a licence, or of data nobody declared, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from hanse.contracts.errors import PolicyError, UsageError
from hanse.contracts.record import RunRecord
from hanse.contracts.run import RunState
from hanse.rules.documents import compute
from hanse.rules.documents.build import require_sound

PUBLIC: Final = ("downstream-documentation", "energy-statement", "training-content-summary")
"""Documents that go with a release. The others are for authorities, and the record holds names and addresses."""
_SPDX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def licence_of(given: str | None, facts: Mapping[str, str]) -> str:
    """The licence of the weights. Raises UsageError where nobody said one, two were said, or it is no identifier."""
    stated = facts.get("licence", "").strip()
    if given and stated and given.strip().casefold() != stated.casefold():
        raise UsageError(f"{given} is asked, the facts say {stated}", where="--licence", fix="Say one of them.")
    licence = (given or stated).strip()
    if not licence:
        raise UsageError(
            "nobody said under which licence the weights are", where="--licence",
            fix="Give its SPDX identifier, as Apache-2.0, or LicenseRef-… for one of your own.",
        )  # fmt: skip
    if not _SPDX.fullmatch(licence):
        raise UsageError(f"{licence!r} is no SPDX identifier", where="--licence", fix="Write it as Apache-2.0.")
    return licence


def require_publishable(record: RunRecord) -> None:
    """Nothing where the run can be published.

    Raises:
        UsageError: it is not finished, or the trainer did not tell what it read.
        SpecError: the record contradicts itself, as where data was read that is not declared.
        PolicyError: the gate stands at stop.
    """
    run, result = record.run, record.result
    if run.state is not RunState.FINISHED or result is None:
        raise UsageError(f"the run is {run.state}", where=run.id, fix="Publish it once it is finished.")
    require_sound(record)
    if not result.datasets:
        raise UsageError(
            "its result does not tell which datasets were read", where=run.id,
            fix="A release says what it was trained on; train it again with this version of Hanse.",
        )  # fmt: skip
    if record.gate is not None and record.gate.verdict == "deny":
        raise PolicyError("the gate stopped this project", where=run.id, fix="Ask the programme's officer.")


def author_of(record: RunRecord, facts: Mapping[str, str]) -> str:
    """Who made it. Raises UsageError where neither an application nor a person says so."""
    stated = facts.get("developed-by", "").strip()
    who = record.application.form.organisation if record.application else stated
    if not who:
        raise UsageError(
            "who made the model is not known", where="developed-by", fix="State developed-by in the file of facts."
        )
    return who


def require_weights(record: RunRecord, *, tensors: int, config: Mapping[str, Any]) -> None:
    """The weights hold as many parameters as the run's result says, in the shape it was planned with.

    `tensors` counts elements over all safetensors files. A head tied to the embedding may be written twice.

    Raises:
        UsageError: they are other weights.
    """
    expected = compute.parameters(record)
    shape = record.run.plan.workload.shape if record.run.plan else None
    tied = shape.vocab * shape.hidden if shape is not None and shape.tied_head else 0
    if expected is not None and tensors not in (expected, expected + tied):
        raise UsageError(
            f"the weights hold {tensors:,} parameters, the run's result says {expected:,}", where="--weights",
            fix="Give the export folder of this run.",
        )  # fmt: skip
    if shape is None:
        return
    for key, value in (("hidden_size", shape.hidden), ("num_hidden_layers", shape.layers)):
        if key in config and config[key] != value:
            raise UsageError(
                f"config.json says {key} {config[key]}, the run had {value}", where="--weights",
                fix="Give the export folder of this run.",
            )  # fmt: skip


class Cited(NamedTuple):
    """What citing needs beside the record."""

    author: str
    licence: str
    version: str
    day: date
    url: str


def citation(record: RunRecord, cited: Cited) -> str:
    """CITATION.cff. JSON's strings are YAML's too."""
    author, licence, version, day, url = cited
    spoken = {
        "cff-version": "1.2.0",
        "message": "If you use this model, cite it as below.",
        "type": "software",
        "title": record.run.name,
        "abstract": record.run.spec.purpose or None,
        "version": version,
        "date-released": day.isoformat(),
        "license": licence if not licence.startswith("LicenseRef-") else None,
        "url": url or None,
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in spoken.items() if value]
    return "\n".join([*lines, "authors:", f"  - name: {json.dumps(author, ensure_ascii=False)}", ""])


def zenodo(record: RunRecord, cited: Cited) -> str:
    """`.zenodo.json`."""
    author, licence, version, day, url = cited
    purpose = record.run.spec.purpose or f"Model of run {record.run.id}."
    made: dict[str, Any] = {
        "title": f"{record.run.name} {version}",
        "upload_type": "other",
        "description": _escaped(purpose),
        "creators": [{"name": author}],
        "access_right": "open",
        "license": licence.lower(),
        "version": version,
        "publication_date": day.isoformat(),
        "keywords": ["machine learning model", record.run.spec.training],
        "notes": f"Made with Hanse from the record of run {record.run.id}, SHA-256 {record.digest()}.",
    }
    if url:
        made["related_identifiers"] = [{"identifier": url, "relation": "isIdenticalTo"}]
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def licence_note(licence: str, author: str, day: date) -> str:
    """LICENSE where no text of it was given: its name and where its text stands."""
    where = (
        "Ask the author for its text."
        if licence.startswith("LicenseRef-")
        else f"Its text: https://spdx.org/licenses/{licence}.html"
    )
    return f"Copyright {day.year} {author}\n\nSPDX-License-Identifier: {licence}\n\n{where}\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
