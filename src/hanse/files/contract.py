"""From a YAML document to a contract, with the first mistake told in plain words, its key and its line.

Where a contract wants a number, people may write what they would say: counts as `2M` or `1.5B` (k, M, B or G, T), keys
ending in `_s` as `10m`, `36h`, `2d` or `1h30m`, keys ending in `_bytes` or `_bytes_per_s` as `64 GB` or `96 GiB`.
The suffix is read only there: text that looks like a number stays text.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hanse.contracts.base import Contract
from hanse.contracts.errors import SpecError
from hanse.files.document import Document, KeyPath, dotted

C = TypeVar("C", bound=Contract)

_COUNTS: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES: Final = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_NUMBER: Final = r"([0-9](?:_?[0-9])*(?:\.[0-9]+)?)"
_DURATION: Final = re.compile(rf"(?:{_NUMBER}\s*(d|h|min|m|s)\s*)+")

NUMBER_TEXT: Final = r"^[0-9][0-9_.]*\s*[A-Za-z]*(/s)?([0-9.]+[a-z]+)*$"
"""A pattern for editors: what may be read as a number with a suffix."""

_PATTERNS: Final = {
    r"^[a-z0-9][a-z0-9._-]{0,62}$": "lower-case letters, digits, '.', '_' and '-' only (63 at most), "
    "beginning with a letter or digit",
    r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$": "written package.module:function",
    r"^[0-9a-f]{64}$": "a SHA-256 of 64 hexadecimal digits",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean "model"?' where one of `known` is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def build(model: type[C], document: Document) -> C:
    """Validate the document's data as `model`. Raises one SpecError: the first mistake, and how many follow."""
    data: dict[str, Any] = json.loads(json.dumps(document.data))
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        if not _spell_out(data, error.errors(include_url=False)):
            raise _told(model, document, error) from None
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise _told(model, document, error) from None


def _spell_out(data: dict[str, Any], errors: list[ErrorDetails]) -> bool:
    """Replace '2M' and its like in `data` wherever a number was wanted; True if anything was replaced."""
    changed = False
    for error in errors:
        key = tuple(error["loc"])
        value = error["input"]
        if error["type"] not in ("int_type", "float_type", "int_from_float") or isinstance(value, bool):
            continue
        number = _number(value, str(key[-1])) if isinstance(value, str) else value
        if error["type"].startswith("int") and isinstance(number, float):
            number = int(number) if number.is_integer() else None
        if number is not None:
            holder: Any = data
            for part in key[:-1]:
                holder = holder[part]
            holder[key[-1]] = number
            changed = True
    return changed


def _number(text: str, name: str) -> float | int | None:
    """What '1.5B', '1h30m' or '64 GiB' means for a key of that name; None if it means nothing."""
    text = text.strip()
    if name.endswith("_s") and not name.endswith("_per_s"):
        if not _DURATION.fullmatch(text):
            return None
        parts = re.findall(rf"{_NUMBER}\s*(d|h|min|m|s)", text)
        return sum(float(number.replace("_", "")) * _SECONDS[unit] for number, unit in parts)
    units = _BYTES if "bytes" in name else _COUNTS
    match = re.fullmatch(rf"{_NUMBER}\s*([A-Za-z]*)(?:/s)?", text)
    if not match or match[2] not in units:
        return None
    value = float(match[1].replace("_", "")) * units[match[2]]
    return round(value) if abs(value - round(value)) < 1e-6 * max(1.0, abs(value)) else value


def _told(model: type[Contract], document: Document, error: ValidationError) -> SpecError:
    errors = error.errors(include_url=False)
    # A misspelt key is also a missing one: tell the cause, not the consequence.
    errors.sort(key=lambda one: (one["type"] != "extra_forbidden", _place(document, one)))
    first = errors[0]
    key = _present(document, tuple(first["loc"]))
    what, fix = _sentence(model, first, key)
    if first["type"] == "value_error":
        key = _culprit(document, key, what)
    if first["type"] == "missing":
        key = key[: len(first["loc"]) - 1]
    further = f"{len(errors) - 1} more after this one." if len(errors) > 1 else ""
    return document.error(what, key, fix=" ".join(filter(None, [fix, further])))


def _place(document: Document, error: ErrorDetails) -> int:
    return document.line(tuple(error["loc"]))


def _present(document: Document, loc: KeyPath) -> KeyPath:
    """`loc` without pydantic's own additions (union branches, '[key]'), which no file holds."""
    key: KeyPath = ()
    for part in loc:
        if (*key, part) not in document.lines:
            break
        key = (*key, part)
    return key


def _culprit(document: Document, key: KeyPath, message: str) -> KeyPath:
    """The key inside `key` that a validator's message names first; `key` itself if it names none."""
    for word in re.findall(r"[a-z_]+", message):
        if (*key, word) in document.lines:
            return (*key, word)
    return key


def _sentence(model: type[Contract], error: ErrorDetails, key: KeyPath) -> tuple[str, str]:
    """What is wrong and what to do."""
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        known = _known_keys(model, key[:-1])
        if home := _home_of(model, key):
            return f"this is a key of {home}, not of {dotted(key[:-1])}", "Check its indentation."
        return f"unknown key{nearest(str(key[-1]), known)}", f"Known here: {', '.join(known)}." if known else ""
    if kind == "missing":
        return f'the key "{error["loc"][-1]}" is missing', ""
    if given is None:
        return f"has no value; it must be {_wanted(kind, context)}", ""
    if kind == "value_error":
        return str(context.get("error", error["msg"])), ""
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context.get("expected", ""))) or [str(context.get("expected"))]
        return f"must be one of {', '.join(choices)}, not {_shown(given)}{nearest(str(given), choices)}", ""
    if kind == "string_type" and isinstance(given, (int, float)):
        return f"must be text, not {_shown(given)}", f'Put it in quotes: "{given}".'
    return f"must be {_wanted(kind, context)}, not {_shown(given)}", ""


def _wanted(kind: str, context: Mapping[str, Any]) -> str:
    limits = {
        "greater_than": ("greater than", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("less than", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in limits:
        words, name = limits[kind]
        return f"{words} {_plain_number(context[name])}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(context["pattern"]), f"of the form {context['pattern']}")
    return {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "int_parsing": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "string_type": "text",
        "string_too_short": "at least one character",
        "bool_type": "true or false",
        "list_type": "a list",
        "tuple_type": "a list",
        "too_short": f"a list of at least {context.get('min_length', 1)}",
        "too_long": f"a list of at most {context.get('max_length', 1)}",
        "dict_type": "a block of keys",
        "model_type": "a block of keys",
        "model_attributes_type": "a block of keys",
        "literal_error": "one of " + str(context.get("expected", "")).replace("'", ""),
        "datetime_from_date_parsing": "a date and time with its time zone",
        "datetime_parsing": "a date and time with its time zone",
        "timezone_aware": "a time with its zone",
    }.get(kind, f"something else ({kind.replace('_', ' ')})")


def _plain_number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _home_of(model: type[BaseModel], key: KeyPath) -> str:
    """The block around `key`'s own that takes a key of that name, in words; '' if none does."""
    for depth in range(len(key) - 2, -1, -1):
        if key[-1] in _known_keys(model, key[:depth]):
            return dotted(key[:depth]) or "the whole file"
    return ""


def _known_keys(model: type[BaseModel], key: KeyPath) -> list[str]:
    """The keys the model at `key` takes; none where that is no model."""
    inner: Any = model
    for part in key:
        inner = _inside(inner, part)
    found = next(iter(_models(inner)), None)
    return list(found.model_fields) if found else []


def _inside(annotation: Any, part: str | int) -> Any:
    for inner in _models(annotation):
        if isinstance(part, str) and part in inner.model_fields:
            return inner.model_fields[part].annotation
    if typing.get_origin(annotation) in (tuple, list, dict):
        arguments = [each for each in typing.get_args(annotation) if each is not Ellipsis]
        return arguments[-1] if arguments else None
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for each in typing.get_args(annotation):
            if (inside := _inside(each, part)) is not None:
                return inside
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [model for each in typing.get_args(annotation) for model in _models(each)]
    return []
