"""Rule files: YAML in, one checked rule set out; `shipped` is what comes with this version of Hanse.

Beside questions, facts and rules a file may hold `terms` (conditions with a name, used as `{term: name}` in any file),
`defaults` (keys that each of its rules has unless it says otherwise) and `applies` (a condition all its rules share).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar

from pydantic import ValidationError

from hanse.contracts.errors import SpecError
from hanse.rules import texts as reading
from hanse.rules.ruleset import RuleFile, RuleSet

R = TypeVar("R", bound=RuleFile)

_SHAPES: Mapping[str, tuple[type, str]] = {
    "terms": (dict, "conditions by name"), "defaults": (dict, "keys with values"), "rules": (list, "a list of rules"),
    "contradictions": (list, "a list"),
}  # fmt: skip
"""What is looked at before the file is checked as a whole."""


def parse(text: str, *, where: str) -> RuleSet:
    """The rule set written in `text`. Raises SpecError naming `where`, the rule and the key."""
    return build({where: text})


def build(texts: Mapping[str, str], *, name: str = "") -> RuleSet:
    """Several files as one; the newest date is the whole's. Raises SpecError naming the file, the rule and the key."""
    raw = {where: _plain(text, where) for where, text in texts.items()}
    terms = _terms(raw)
    made = [_file(document, where, terms) for where, document in raw.items()]
    begins = [one.begins for one in made if one.begins]
    whole = {
        "name": name or made[0].name,
        "version": max(one.version for one in made),
        "begins": max(begins) if begins else None,
        "facts": tuple(fact for one in made for fact in one.facts),
        "questions": tuple(question for one in made for question in one.questions),
        "contradictions": tuple(one for each in made for one in each.contradictions),
        "rules": tuple(rule for one in made for rule in one.rules),
    }
    return _validated(RuleSet, whole, where=", ".join(texts))


@lru_cache
def shipped() -> RuleSet:
    """The rules that come with this version of Hanse."""
    folder = files("hanse.rules")
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".yaml")), key=lambda one: one.name)
    return build({one.name: one.read_text("utf-8") for one in found}, name="gate")


def _plain(text: str, where: str) -> dict[str, Any]:
    raw = reading.mapping(text, where=where, begin="Begin with name, version and rules.")
    for key, (shape, told) in _SHAPES.items():
        if raw.get(key) is not None and not isinstance(raw[key], shape):
            raise SpecError(f"{key} must be {told}", where=f"{where}: {key}", fix="Correct the rule file.")
    return raw


def _terms(raw: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Every named condition of all files, with the terms inside written out."""
    terms: dict[str, Any] = {}
    for where, document in raw.items():
        for name, condition in (document.get("terms") or {}).items():
            if name in terms:
                raise SpecError(f"the term {name} is named twice", where=where, fix="Rename one.")
            terms[name] = condition
    return {name: _written_out(condition, terms, f"term {name}", (name,)) for name, condition in terms.items()}


def _written_out(condition: Any, terms: Mapping[str, Any], where: str, inside: tuple[str, ...] = ()) -> Any:
    if isinstance(condition, list):
        return [_written_out(part, terms, where, inside) for part in condition]
    if not isinstance(condition, dict):
        return condition
    name = condition.get("term")
    if name is None:
        return {key: _written_out(value, terms, where, inside) for key, value in condition.items()}
    if name not in terms or len(condition) != 1:
        raise SpecError(f"there is no term {name!r}", where=where, fix=f"Known: {', '.join(sorted(terms))}.")
    if name in inside:
        raise SpecError(f"the term {name} is made of itself", where=where, fix="Write it without itself.")
    return _written_out(terms[name], terms, where, (*inside, name))


def _file(raw: dict[str, Any], where: str, terms: Mapping[str, Any]) -> RuleFile:
    own = {key: value for key, value in raw.items() if key not in ("terms", "defaults", "applies")}
    defaults, applies = raw.get("defaults") or {}, raw.get("applies")
    rules = []
    for rule in own.get("rules") or []:
        merged = {**defaults, **rule} if isinstance(rule, dict) else rule
        if isinstance(merged, dict) and "when" in merged:
            when = merged["when"] if applies is None else {"all": [applies, merged["when"]]}
            merged["when"] = _written_out(when, terms, f"{where}: rules.{merged.get('id', '?')}")
        rules.append(merged)
    own["rules"] = rules
    own["contradictions"] = _written_out(own.get("contradictions") or [], terms, where)
    return _validated(RuleFile, own, where=where)


def _validated(model: type[R], raw: dict[str, Any], *, where: str) -> R:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        raise SpecError(message, where=f"{where}: {_place(first['loc'], raw)}", fix="Correct the rule file.") from None


def _place(loc: Iterable[int | str], raw: object) -> str:
    """`rules.3.verdict` with the rule's own id in place of its number, where it has one."""
    words: list[str] = []
    for part in loc:
        if isinstance(raw, Mapping):
            raw = raw.get(part, raw)
        elif isinstance(raw, list | tuple) and isinstance(part, int):
            raw = raw[part]
            part = raw["id"] if isinstance(raw, Mapping) and "id" in raw else part
        words.append(str(part))
    return ".".join(words) or "the whole file"
