"""The public verbs and options, frozen: growth is a decision, and every verb explains itself."""

from __future__ import annotations

import re

import click
import pytest

from hanse.cli.main import load
from hanse.cli.registry import BY_NAME, GROUPS, VERBS
from tests.cli.conftest import Hanse

PUBLIC = {
    "demo": {"--out"},
    "doctor": {"--json"},
    "version": {"--json"},
    "plan": {
        "[TRAIN.YAML]", "--machine", "--nodes", "--partition", "--objective", "--finish-by", "--budget",
        "--check", "--whole-space", "--software", "--preset", "--config", "--workload", "--batch", "--tokens",
        "--context", "--precision", "--why-not", "--all-machines", "--across", "--link", "--inner-steps",
        "--codec", "--scaling", "--format", "--details", "--html", "--export", "--out", "--json",
    },
    "launch": {"[TRAIN.YAML]", "--machine", "--allocation", "--nodes", "--dry-run", "--smoke", "--watch", "--json"},
    "pack": {"[TRAIN.YAML]", "--machine", "--out", "--python", "--apptainer"},
    "stage": {
        "SOURCE", "MACHINE:DEST", "--host", "--port", "--key", "--jump", "--known-hosts", "--max-mb-per-s", "--json",
    },
    "status": {"[RUN]", "--watch", "--json"},
    "logs": {"[RUN]", "--follow"},
    "shell": {"[RUN|MACHINE]"},
    "cancel": {"RUN", "--reason", "--json"},
    "retry": {"[RUN]", "--machine", "--json"},
    "report": {"[RUN]", "--out", "--json"},
    "apply": {
        "--call", "--from", "--organisation", "--kind", "--country", "--title", "--purpose", "--machine", "--gpu-hours",
        "--months", "--email", "--answer", "--check", "--suggest", "--for", "--experience", "--draft", "--plan",
        "--spare", "--again", "--export", "--save", "--open", "--send", "--json",
    },
    "comply check": {"ANSWERS.YAML", "--as-of", "--plan", "--rest-harmless", "--json"},
    "comply rules": {"--as-of", "--json"},
    "comply questions": {"--template", "--json"},
    "comply documents": {"[RUN]", "--facts", "--out", "--pdf", "--json"},
    "comply verify": {"FOLDER"},
    "comply evaluation": {"RUN", "RESULTS.JSON...", "--json"},
    "publish": {
        "[RUN]", "--out", "--licence", "--licence-file", "--facts", "--weights", "--version", "--url", "--check",
        "--json",
    },
    "machines list": {"--json"},
    "machines show": {"MACHINE", "--json"},
    "machines check": {"FILE", "--json"},
    "machines calibrate": {"--again", "--json", "--machine", "--out", "--nodes", "--account", "--partition"},
    "connect": {
        "[MACHINE]", "--account", "--host", "--port", "--key", "--jump", "--known-hosts", "--renew", "--partition",
        "--work", "--python", "--setup", "--gpu-hours", "--look-only", "--list", "--forget", "--json",
    },
    "usage": {"[ALLOCATION]", "--entries", "--month", "--csv", "--json"},
    "site provision": {
        "ALLOCATION", "--user", "--qos", "--tres", "--folder", "--folder-hook", "--end", "--apply", "--json",
    },
    "serve": {"--host", "--port", "--status", "--stop", "--json"},
    "agent": {
        "--machine", "--url", "--token", "--enrol", "--once", "--observe", "--policy", "--check-policy", "--sudoers",
        "--stop", "--because", "--resume", "--firecrest", "--insecure",
    },
    "import awards": {"FILE.CSV", "--source", "--mode", "--whole", "--dry-run", "--json"},
    "import waldur": {
        "URL", "--token-file", "--mode", "--kind", "--country", "--machine", "--offering", "--component", "--unit",
        "--until", "--source", "--whole", "--dry-run", "--json",
    },
    "import list": {"--json"},
    "import show": {"IMPORT", "--json"},
    "import choose": {"IMPORT", "LINE", "ORGANISATION", "--json"},
    "import confirm": {"IMPORT", "--seen", "--json"},
    "import refuse": {"IMPORT", "--reason", "--take-back", "--json"},
    "train": set(),
    "manage": set(),
}  # fmt: skip


def parameters(command: click.Command) -> set[str]:
    context = click.Context(command)
    return {
        parameter.make_metavar(context) if isinstance(parameter, click.Argument) else parameter.opts[0]
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
    }


def surface() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for verb in VERBS:
        command = load(verb)
        if isinstance(command, click.Group):
            found |= {f"{verb.name} {name}": parameters(part) for name, part in command.commands.items()}
        else:
            found[verb.name] = parameters(command)
    return found


def test_verbs_and_options_are_those_that_were_decided_on() -> None:
    assert surface() == PUBLIC


def test_the_help_lists_every_verb_once_with_one_line_and_its_group(hanse: Hanse) -> None:
    said = hanse("--help").out
    for verb in VERBS:
        lines = [line for line in said.splitlines() if re.match(rf"  {verb.name} +[A-Z]", line)]
        assert len(lines) == (0 if verb.hidden else 1), verb.name
        assert verb.group in GROUPS
    assert "Examples:" in said
    assert max(len(line) for line in said.splitlines()) <= 80


@pytest.mark.parametrize("verb", sorted(BY_NAME))
def test_a_verb_helps_with_examples_that_begin_with_hanse(verb: str, hanse: Hanse) -> None:
    answer = hanse(verb, "--help")
    assert answer.code == 0
    assert BY_NAME[verb].help in " ".join(answer.out.split())
    for example in BY_NAME[verb].examples:
        assert example.command in answer.out
        assert f"hanse {verb}" in example.command


def test_the_examples_use_options_that_exist() -> None:
    known = surface()
    for verb in VERBS:
        mine = set().union(*(options for name, options in known.items() if name.split()[0] == verb.name))
        for example in verb.examples:
            used = set(re.findall(r"(?<=\s)--[a-z-]+", example.command))
            if not verb.passes_through:
                assert used <= mine, example.command


def test_hanse_alone_helps_and_a_wrong_verb_names_the_nearest(hanse: Hanse) -> None:
    assert "Start here:" in hanse().out
    wrong = hanse("lunch")
    assert wrong.code == 2
    assert "Did you mean launch?" in wrong.err


def test_the_version_is_told_without_a_verb(hanse: Hanse) -> None:
    from hanse import __version__

    assert hanse("--version").out == f"hanse {__version__}\n"
