"""YAML as plain data that remembers on which line each key stood.

Scalars follow YAML 1.2's core schema, not PyYAML's 1.1: `no` is text and not false, `1:30` is not ninety, `3e-4` is a
number and `2_000_000` too. Duplicate keys, aliases that explode and merge keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from hanse.contracts.errors import SpecError

KeyPath = tuple[str | int, ...]

_LARGEST_FILE_BYTES: Final = 1_000_000
_MOST_NODES: Final = 50_000
_CONVERT: Final[dict[str, Callable[[str], Any]]] = {
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": lambda text: int(text.replace("_", ""), 10),
    "tag:yaml.org,2002:float": lambda text: float(text.replace("_", "")),
    "tag:yaml.org,2002:str": str,
}


class _CoreLoader(yaml.SafeLoader):
    """Composes nodes only; nothing is ever constructed from a tag."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


class _QuickLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same by libyaml, seventeen times as fast; its errors say less."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


for _tag, _pattern, _first in (
    ("null", r"^(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9](?:_?[0-9])*$", list("-+0123456789")),
    ("float", r"^[-+]?(?:[0-9](?:_?[0-9])*\.?|\.[0-9])[0-9_]*(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
):
    for _loader in (_CoreLoader, _QuickLoader):
        _loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file's content. `data` is what JSON can hold; `lines` counts from 1."""

    name: str
    data: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, key: KeyPath) -> int:
        """The line of `key`, or of the nearest key around it that is in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def part(self, key: str) -> Document:
        """The block under a top-level key as a document of its own."""
        lines = {path[1:]: line for path, line in self.lines.items() if path[:1] == (key,)}
        return Document(name=self.name, data=self.data[key], lines=lines)

    def error(self, what: str, key: KeyPath = (), fix: str = "") -> SpecError:
        """A SpecError at `key`: its line in `where`, its path in front of the sentence."""
        path = dotted(key)
        return SpecError(f"{path}: {what}" if path else what, where=f"{self.name}:{self.line(key)}", fix=fix)


def dotted(key: KeyPath) -> str:
    """('data', 0, 'source') → 'data[0].source'."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def read(path: Path) -> Document:
    """Read one YAML file. Raises SpecError for a file that is missing, empty, too large or not a block of keys."""
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise SpecError(f"the file is larger than {_LARGEST_FILE_BYTES // 1000} kB", where=str(path))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError("there is no such file", where=str(path), fix="Give the path of an existing file.") from None
    except IsADirectoryError:
        raise SpecError("this is a folder, not a file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise SpecError(f"not UTF-8 text (byte {error.start})", where=str(path)) from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return parse(text, name=str(path))


def parse(text: str, *, name: str) -> Document:
    """The document in `text`; `name` is what errors call it."""
    try:
        root = _composed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        what, fix = _told(error)
        raise SpecError(f"not valid YAML: {what}", where=where, fix=fix) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not valid YAML: {str(error).splitlines()[0]}", where=name) from None
    document = Document(name=name, data={})
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value.strip()):
        raise SpecError("the file is empty", where=name, fix="It needs at least one line `key: value`.")
    if not isinstance(root, yaml.MappingNode):
        raise SpecError("must be lines of the form `key: value`", where=f"{name}:{root.start_mark.line + 1}")
    document.data.update(_Walk(document).mapping(root, ()))
    return document


def _composed(text: str) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_QuickLoader)
    except yaml.YAMLError:
        root = yaml.compose(text, Loader=_CoreLoader)  # its errors are the ones `_told` knows
    return root


def _told(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """What PyYAML found, in the words of somebody who writes keys and values, and what to do."""
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        return "a tab stands here", "Indent with spaces; YAML does not take tabs."
    if "expected <block end>" in problem:
        return "its indentation fits none of the lines above", "Begin the keys of one block in the same column."
    if "mapping values are not allowed" in problem:
        return (
            "a key stands here where none can be",
            "Check its indentation and the line above it, or put a value that contains ': ' in quotes.",
        )
    if "could not find expected ':'" in problem:
        return "a key without its ':' stands here, or just above", "Write key: value."
    if "expected ',' or" in problem:
        return f"the list or block opened above is not closed: {problem.partition(', but')[0]}", "Close the bracket."
    if "found unexpected end of stream" in problem:
        return "a quote opened above is not closed", "Close the quote."
    return problem, ""


class _Walk:
    """One pass from nodes to plain data, noting lines in the document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._visited = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node, key: KeyPath) -> Any:
        self._visited += 1
        if self._visited > _MOST_NODES or id(node) in self._open:
            raise self._document.error("aliases (*name) that repeat themselves are refused", key)
        self._document.lines.setdefault(key, node.start_mark.line + 1)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, key)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode) and node.value == "" and not node.style:
                raise self._document.error("has no value", key, fix="Give one, or leave the key out.")
            convert = _CONVERT.get(node.tag)
            if convert is None:
                raise self._document.error(f"the tag {node.tag} is not allowed here", key)
            try:
                return convert(node.value)
            except ValueError:
                return str(node.value)
        finally:
            self._open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, key: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                self._document.lines.setdefault(key, line)
                raise self._document.error("a key must be plain text", key)
            name = str(name_node.value)
            inner = (*key, name)
            if name in found:
                first = self._document.lines[inner]
                self._document.lines[inner] = line
                raise self._document.error(f"this key stands twice (first on line {first})", inner)
            self._document.lines[inner] = line
            found[name] = self.value(value_node, inner)
        return found
