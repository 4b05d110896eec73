"""YAML as the rules, the forms and the glossary are written in: one reader for all three, which names what is wrong.

A key that stands twice is refused: YAML's readers keep the last one without a word, and half a rule would be gone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from hanse.contracts.errors import SpecError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} stands twice in one block, again on line {line}"
                )
            seen.add(key.value)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return made


def mapping(text: str, *, where: str, begin: str = "Begin with its keys.") -> dict[str, Any]:
    """The mapping written in `text`. Raises SpecError naming `where` for what is no YAML, or no mapping with names."""
    raw = read(text, where=where)
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise SpecError("this is no mapping of names", where=where, fix=begin)
    return raw


def read(text: str, *, where: str) -> Any:
    """Whatever is written in `text`. Raises SpecError naming `where`."""
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        said = str(getattr(error, "problem", None) or "")
        if "stands twice" in said:
            raise SpecError(said, where=where, fix="Keep one of the two.") from None
        raise SpecError("this is not YAML", where=where, fix=str(error)) from None
