"""HTML and SVG written as nested calls, with every text escaped unless it is markup already.

`h("p", "a < b", class_="lede")` gives `<p class="lede">a &lt; b</p>`. Only what these functions return is an `Html`;
a plain string can therefore never become markup by accident.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from html import escape
from typing import TypeAlias

_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # HTML does not allow them
    "\u202a-\u202e\u2066-\u2069]"  # they turn the direction of the text around them
)
_SPECIAL = re.compile(f"[&<>\"']|{_UNSHOWABLE.pattern}")
"""Most texts hold none of them, and stand as they are."""
_VOID = frozenset({"meta", "br", "wbr", "link", "input"})


_spoken: ContextVar[Callable[[str], str] | None] = ContextVar("spoken", default=None)
_SPOKEN_ATTRIBUTES = frozenset({"aria-label", "data-label", "title"})
_AS_IT_STANDS = frozenset({"code", "pre"})


class Html(str):
    """Text that is safe to put into a page as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """What Django's templates look for before they escape."""
        return self


Child: TypeAlias = "str | int | float | Iterable[Child] | None"
Value: TypeAlias = "str | int | float | bool | None"


def text(value: str) -> Html:
    """`value` escaped, with what cannot or must not be shown replaced by its sign."""
    if _SPECIAL.search(value) is None:
        return Html(value)
    return Html(escape(_UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", value), quote=True))


def breakable(value: str) -> Html:
    """`value` with leave to break lines after dots, hyphens and slashes: for names and addresses in narrow columns."""
    return Html("<wbr>".join(text(part) for part in re.split(r"(?<=[./-])(?=[^./\s-])", value)))


@contextmanager
def speaking(say: Callable[[str], str] | None) -> Iterator[None]:
    """Texts of elements made within are said by `say`: in a reader's language. None: as they stand, as in files."""
    token = _spoken.set(say)
    try:
        yield
    finally:
        _spoken.reset(token)


def _said(value: str) -> Html:
    say = _spoken.get()
    return text(value if say is None else say(value))


def join(*children: Child) -> Html:
    """The children one after another; None is left out, a list is walked through."""
    return Html("".join([_render(child) for child in children]))


def h(name: str, /, *children: Child, **attributes: Value) -> Html:
    """One element. A trailing underscore in an attribute's name is dropped, inner ones become hyphens.

    None and False leave an attribute out, True writes its bare name.
    """
    written = "".join([_attribute(_spelled(key), value) for key, value in attributes.items()])
    if name in _VOID:
        return Html(f"<{name}{written}>")
    if name in _AS_IT_STANDS or attributes.get("lang"):
        with speaking(None):
            return Html(f"<{name}{written}>{join(*children)}</{name}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


@lru_cache(maxsize=1000)
def _spelled(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    written = number(value) if isinstance(value, float) else str(value)
    return f' {name}="{_said(written) if name in _SPOKEN_ATTRIBUTES else text(written)}"'


def number(value: float) -> str:
    """A coordinate with at most one decimal: '12', '12.5'."""
    written = f"{value:.1f}"
    return written.removesuffix(".0").replace("-0", "0") if written in ("0.0", "-0.0") else written.removesuffix(".0")


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return _said(child)
    if isinstance(child, float):
        return number(child)
    if isinstance(child, int):
        return str(child)
    return "".join([_render(one) for one in child])
