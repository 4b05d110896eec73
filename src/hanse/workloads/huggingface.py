"""A Hugging Face config.json as a ModelShape, by its `model_type`; transformers is not needed for it.

`families` knows which keys each family has. What a configuration leaves out takes the family's own default; a size that
has none is asked for by name. Of a model with several parts (`text_config`) the text part is what is trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from hanse.contracts.errors import SpecError
from hanse.contracts.workload import ModelShape
from hanse.files.contract import nearest
from hanse.workloads.families import FAMILIES
from hanse.workloads.keys import Config

_MOST_BYTES: Final = 4_000_000
_NESTED: Final = ("text_config", "llm_config", "language_config")


def shape(config: Mapping[str, Any] | Path, *, context: int | None = None) -> ModelShape:
    """The shape that a config.json describes, trained on sequences of `context` tokens (None: the longest it takes).

    Raises:
        SpecError: the family is not known, or a key is missing or of no meaning.
    """
    where, whole = (str(config), _read(config)) if isinstance(config, Path) else ("config.json", config)
    data, where = _text_part(whole, where)
    kind = data.get("model_type")
    if not isinstance(kind, str):
        raise SpecError("it does not say its model_type", where=where, fix=f"Known: {', '.join(sorted(FAMILIES))}.")
    if kind not in FAMILIES:
        raise SpecError(
            f'the model_type "{kind}" is not known{nearest(kind, FAMILIES)}', where=where,
            fix=f"Known: {', '.join(sorted(FAMILIES))}. Or describe the model's sizes under model.shape.",
        )  # fmt: skip
    try:
        fields = FAMILIES[kind](Config(data=data, where=where, kind=kind))
        if context is not None:
            fields["context"] = context
        if fields.get("head_size") == fields["hidden"] / fields["heads"]:
            del fields["head_size"]  # it says no more than the default
        return ModelShape(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SpecError(
            f"{name}: {reason}, not {first['input']}" if name else reason, where=where, fix="Correct the file."
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SpecError("it is too large for a model's configuration", where=str(path))
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SpecError("there is no such file", where=str(path), fix="Give the path of a config.json.") from None
    except OSError as error:
        raise SpecError(f"it cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError as error:
        raise SpecError(f"it is no JSON: {error}", where=str(path)) from None
    if not isinstance(found, dict):
        raise SpecError("it holds no object of keys and values", where=str(path))
    return found


def _text_part(data: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], str]:
    for name in _NESTED:
        inner = data.get(name)
        if not isinstance(inner, Mapping):
            continue
        kind = inner.get("model_type", data.get("model_type"))
        # Some wrappers keep what all parts share outside.
        shared = {key: data[key] for key in ("tie_word_embeddings",) if key in data and key not in inner}
        return {**shared, **inner, "model_type": kind}, f"{where}: {name}"
    return data, where
