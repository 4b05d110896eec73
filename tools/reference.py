"""Write the pages of docs/reference/ that follow from the code: commands, train.yaml, contracts.

`make reference` runs it; tests/docs fails while a page says something else than the code.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import click  # noqa: E402

from hanse.cli.main import load  # noqa: E402
from hanse.cli.registry import GROUPS, VERBS, Verb  # noqa: E402
from hanse.contracts.catalogue import PUBLIC, schema  # noqa: E402
from tools import modes_page, policy_page  # noqa: E402
from tools.launch_facts import page  # noqa: E402

MADE = "<!-- made by tools/reference.py; change the code, then run: make reference -->\n"


def commands() -> str:
    parts = [
        f"{MADE}# Commands\n",
        "Every verb has `--help` with examples; where facts are printed `--json` prints them as JSON.",
        "Exit codes: 0 done, 1 the work failed, 2 what was typed or written is wrong and nothing was changed.\n",
    ]
    for group in GROUPS:
        parts.append(f"## {group}\n")
        for verb in (v for v in VERBS if v.group == group and not v.hidden):
            parts += _verb(verb)
    return "\n".join(parts).rstrip() + "\n"


def _verb(verb: Verb) -> list[str]:
    command = load(verb)
    parts = [f"### hanse {verb.name}\n", f"{verb.help}\n"]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            parts += [f"**`hanse {verb.name} {name}`** {sub.help or ''}\n", *_parameters(sub)]
    else:
        parts += _parameters(command)
    if verb.examples:
        lines = [f"    {e.command}" + (f"    # {e.why}" if e.why else "") for e in verb.examples]
        parts += ["\n".join(lines) + "\n"]
    return parts


def _parameters(command: click.Command) -> list[str]:
    rows = [
        f"| `{'`, `'.join(option.opts)}` | {option.help} |"
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden and option.help
    ]
    return ["| option | |\n|---|---|\n" + "\n".join(rows) + "\n"] if rows else []


def train_yaml() -> str:
    document = schema("train-spec")
    parts = [
        f"{MADE}# train.yaml\n",
        "The one file you write. For completion and checks in your editor make its JSON Schema once,\n",
        "    python -m hanse.workloads.schema > train.schema.json\n",
        "and put this on the first line of train.yaml:\n",
        "    # yaml-language-server: $schema=train.schema.json\n",
        "Counts may be written with a suffix (`2M`, `512k`). What is wrong is named with its key and line.\n",
    ]
    parts += _object("train.yaml", document, document)
    done = {"TrainSpec"}
    waiting = _references(document)
    while waiting:
        name = waiting.pop(0)
        if name in done:
            continue
        done.add(name)
        definition = document["$defs"][name]
        parts += _object(name, definition, document)
        waiting += _references(definition)
    return "\n".join(parts).rstrip() + "\n"


def _object(title: str, definition: dict[str, Any], document: dict[str, Any]) -> list[str]:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    required = set(definition.get("required", ()))
    for key, value in definition["properties"].items():
        if key == "schema_version":
            continue
        default = "" if key in required else _default(value)
        meaning = value.get("description", "").replace("\n", " ").replace("|", "\\|")
        rows.append(f"| `{key}` | {_kind(value)} | {'**required**' if key in required else default} | {meaning} |")
    text = definition.get("description", "") if definition is not document else ""
    return [f"## {title}\n", *([text.replace("\n", " ") + "\n"] if text else []), "\n".join(rows) + "\n"]


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default in (None, "") or isinstance(default, dict | list):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})" if name[0].isupper() else name
    if "anyOf" in value:
        return " or ".join(_kind(v) for v in value["anyOf"] if v.get("type") != "null")
    if "enum" in value:
        return ", ".join(f"`{v}`" for v in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        items = value.get("items") or (value.get("prefixItems") or [{}])[0]
        return f"list of {_kind(items)}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    return words.get(value.get("type", ""), "value")


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else []
        return own + [name for key, child in node.items() if key != "$defs" for name in _references(child)]
    if isinstance(node, list):
        return [name for child in node for name in _references(child)]
    return []


def contracts() -> str:
    rows = ["| contract | what it is | schema | example |", "|---|---|---|---|"]
    for name, contract in PUBLIC.items():
        doc = (contract.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
        rows.append(f"| `{contract.__name__}` | {doc} | `{name}.schema.json` | `examples/{name}.json` |")
    head = (
        "The objects that rooms exchange. Each is frozen, refuses unknown keys, and can be saved as a file; its JSON\n"
        "Schema and an example lie in `schemas/`. A change of one is a\n"
        "[decision](../decisions/0001-contracts-first.md).\n"
    )
    return f"{MADE}# Contracts\n\n{head}\n" + "\n".join(rows) + "\n"


def permissions() -> str:
    """Django has to be set up for it, with a home of its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hanse.service.settings")
    with tempfile.TemporaryDirectory() as home:
        os.environ["HANSE_HOME"] = home
        return policy_page.page()


PAGES = {
    "commands.md": commands, "train-yaml.md": train_yaml, "contracts.md": contracts, "launch-facts.md": page,
    "modes.md": modes_page.page, "permissions.md": permissions,
}  # fmt: skip


def main() -> None:
    for name, make in PAGES.items():
        (ROOT / "docs" / "reference" / name).write_text(make())
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
