"""`hanse apply --draft FILE`: the whole form as a file that is begun, filled from a plan, checked, and sent.

The file is written by Hanse and by hand in turn; what stands in it is never lost: it is replaced as a whole, and only
once all that was typed is valid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from hanse.cli.output import require_file_can_be
from hanse.cli.views import pairs
from hanse.contracts.application import Draft
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.contracts.plan import Plan
    from hanse.contracts.programme import CallTerms
    from hanse.contracts.scaling import ScalingTable
    from hanse.programme.completeness import Gap

PLACES: Mapping[str, tuple[str, ...]] = {
    "organisation": ("organisation",), "organisation_kind": ("organisation_kind",), "country": ("country",),
    "contact_email": ("contact_email",), "title": ("whole", "project", "title"),
    "purpose_text": ("whole", "project", "abstract"), "purpose": ("whole", "project", "purpose"),
    "machine": ("whole", "compute", "machine"), "gpu_hours": ("whole", "compute", "gpu_hours"),
    "duration_months": ("whole", "project", "duration_months"),
}  # fmt: skip
"""Where in the draft an option's value goes."""
COMPUTATION = "training-flops"
"""The gate's question that a plan answers."""
HEAD = "# An application being written; 'hanse apply --draft {name}' says what it still lacks, '--send' sends it.\n"


def read(path: Path) -> Draft:
    """The draft in the file, an empty one where there is no file yet.

    Raises:
        SpecError: what stands in the file is wrong; its key and line are named.
    """
    if not path.exists():
        require_file_can_be(path)
        return Draft()
    from hanse.files import contract, document

    return contract.build(Draft, document.read(path))


def with_options(draft: Draft, given: Mapping[str, Any], answers: Mapping[str, Any], terms: CallTerms | None) -> Draft:
    """The draft with what was typed put in its place, and turned to the call.

    Raises:
        UsageError: a value cannot be.
    """
    from pydantic import ValidationError

    data = draft.model_dump(mode="json")
    for key, value in given.items():
        if key in PLACES and value is not None:
            held: Any = data
            for name in PLACES[key][:-1]:
                held = held[name]
            held[PLACES[key][-1]] = value
    data["answers"] |= answers
    try:
        made = Draft.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{first['msg']}: {first['input']!r}.", where=where) from None
    from hanse.programme import drafts, filling

    return filling.spread_again(made if terms is None else drafts.reuse(made, terms))


def with_plan(draft: Draft, source: Path, *, spare: float, again: bool) -> Draft:
    """The draft filled from a plan, and from the scaling table that stands beside it in the same file.

    The gate's questions that a plan answers are answered too, over an answer of one's own only with `again`.
    """
    from hanse.programme.filling import fill
    from hanse.rules import prefill

    plan, scaling = _plan(source)
    filled = fill(draft, plan, machine=_machine(plan.machine), scaling=scaling, spare=spare, again=again)
    known = prefill.from_workload(plan.workload)
    computed = {COMPUTATION: known.facts["training_flops"]}
    told = {*computed, *known.answers} if again else set()
    kept = {id: value for id, value in filled.answers.items() if id not in told}
    return filled.model_copy(update={"answers": {**computed, **prefill.fill(kept, known)}})


def _plan(source: Path) -> tuple[Plan, ScalingTable | None]:
    """What `hanse plan --json` wrote, alone or with what was asked beside it."""
    from pydantic import ValidationError

    from hanse.contracts.plan import Plan
    from hanse.contracts.scaling import ScalingTable

    try:
        facts = json.loads(source.read_text("utf-8"))
        whole = facts if isinstance(facts, dict) and "plan" in facts else {"plan": facts}
        scaling = whole.get("scaling")
        table = ScalingTable.model_validate_json(json.dumps(scaling)) if scaling else None
        return Plan.model_validate_json(json.dumps(whole["plan"])), table
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}", where=str(source)) from None
    except (ValueError, ValidationError):
        fix = "Make one: hanse plan train.yaml --scaling strong --json > plan.json"
        raise UsageError("this is not a plan as 'hanse plan --json' writes it", where=str(source), fix=fix) from None


def _machine(id: str) -> Any:
    """The machine's description where Hanse has one: it knows how long a job may be."""
    from hanse.machines import catalogue

    return catalogue.load(id) if id in catalogue.ids() else None


def save(path: Path, draft: Draft, gaps: Sequence[Gap]) -> None:
    """Replace the file; what is missing stands in it with no value, to be written there."""
    from hanse.files.durable import write_atomically

    require_file_can_be(path)
    data = draft.model_dump(mode="json", exclude_defaults=True)
    data = {"call": draft.call, "call_version": draft.call_version, **data}
    for gap in gaps:
        if gap.kind == "missing":
            _open(data, gap.field.split("."), draft)
    if path.suffix == ".json":
        write_atomically(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        return
    write_atomically(path, HEAD.format(name=path.name) + _yaml(_in_order(data)))


def _yaml(data: dict[str, Any]) -> str:
    """YAML in the order given, texts of several lines as such."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, held: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", held, style="|" if "\n" in held else None)

    Dumper.add_representer(str, text)
    made: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
    return made


def _open(data: dict[str, Any], names: list[str], draft: Draft) -> None:
    """A key without a value (or with an empty list) at the path, where there is none yet."""
    held: Any = draft
    for name in names[:-1]:
        data = data.setdefault(name, {})
        held = getattr(held, name)
    data.setdefault(names[-1], [] if getattr(held, names[-1]) == () else None)


def _in_order(data: dict[str, Any]) -> dict[str, Any]:
    """Keys in the order in which the form asks; what a person does not write comes last."""
    order = {name: index for index, name in enumerate(Draft.model_fields)}
    whole = type(Draft().whole)
    inner = {name: index for index, name in enumerate(whole.model_fields)}
    made = dict(sorted(data.items(), key=lambda item: order.get(item[0], 99)))
    if isinstance(made.get("whole"), dict):
        made["whole"] = dict(sorted(made["whole"].items(), key=lambda item: inner.get(item[0], 99)))
    return made


def view(draft: Draft, terms: CallTerms | None, gaps: Sequence[Gap]) -> RenderableType:
    """How far the draft is: what is wrong, what is missing by section, the size test, what differs from the plan."""
    from hanse.contracts.base import now
    from hanse.programme import filling, rounds

    title = draft.whole.project.title or "An application without a title"
    call = f"{terms.title}, version {terms.version}" if terms else "no call chosen yet: --call, or see --suggest"
    rows: list[tuple[str, RenderableType]] = [("For", call)]
    if terms is not None:
        rows.append(("Answer", rounds.promise(terms, now()).sentence))
    rows.append(("State", "complete: --send sends it" if not gaps else f"{len(gaps)} to see to"))
    parts: list[RenderableType] = [Text(title, style="bold"), pairs(rows)]
    for section in dict.fromkeys(gap.section for gap in gaps):
        parts += ["", Text(section, style="bold")]
        parts += [
            Padding(Text(f"{'✗' if gap.kind == 'wrong' else '·'} {gap.field}: {gap.message}"), (0, 0, 0, 2))
            for gap in gaps
            if gap.section == section
        ]
    open_ = unanswered(draft)
    if open_:
        parts += ["", Text("The gate's questions not answered yet (answers, or --answer ID=yes)", style="bold")]
        parts += [Padding(Text(f"· {id}: {text}"), (0, 0, 0, 2)) for id, text in open_]
    changed = filling.changed(draft)
    if changed:
        parts += ["", Text("Changed since the plan (--again puts it back)", style="bold")]
        parts += [Padding(Text(f"{one.path}: {one.source} said {_short(one.value)}"), (0, 0, 0, 2)) for one in changed]
    return Group(*parts, *_size(draft))


def unanswered(draft: Draft) -> list[tuple[str, str]]:
    """The gate's questions that would be put next, by id; those that follow another only after its yes."""
    from hanse.contracts.base import now
    from hanse.rules import gate

    return [
        (one.id, one.text)
        for one in gate.questions(now().date())
        if one.id not in draft.answers and (not one.follows or draft.answers.get(one.follows))
    ]


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _size(draft: Draft) -> list[RenderableType]:
    """The size test line by line."""
    group = draft.whole.organisation.group
    if group is None or not any(one.accounts for one in group.enterprises if one.id == group.applicant):
        return []
    from hanse.programme import enterprise

    lines: list[RenderableType] = ["", Text("Size by the figures given", style="bold")]
    result = enterprise.assess(group)
    for step in result.steps:
        figures = ""
        if step.staff is not None and step.turnover_eur is not None and step.balance_sheet_eur is not None:
            figures = (
                f" {step.staff:,.10g} persons, turnover EUR {step.turnover_eur:,.0f}, "
                f"balance sheet EUR {step.balance_sheet_eur:,.0f}."
            )
        year = f"{step.year}: " if step.year else ""
        rule = f" ({step.rule})" if step.rule else ""
        lines.append(Padding(Text(f"{year}{step.text}{figures}{rule}"), (0, 0, 0, 2)))
    lines += [Padding(Text(f"? {each}"), (0, 0, 0, 2)) for each in result.open_questions]
    return lines
