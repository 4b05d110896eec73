"""YAML data of this room as contracts, with errors that name the file and the key."""

from __future__ import annotations

from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hanse.contracts.errors import SpecError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
M = TypeVar("M", bound=BaseModel)


def build(model: type[M], text: str, *, where: str) -> M:
    """`text` as a `model`. Raises SpecError naming `where` and the first wrong key."""
    try:
        return model.model_validate(_LOADER(text).get_single_data())
    except yaml.YAMLError as error:
        raise SpecError("this is not YAML", where=where, fix=str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SpecError(f"{first['msg']}: {first['input']!r}", where=f"{where}: {key}", fix="Correct it.") from None
