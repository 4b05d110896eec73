"""A new service makes its tables at once, as they are today: they are the ones all migrations would have made."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import postgres

WIDER = re.compile(r"CREATE TABLE public\.access_person_(groups|user_permissions): id ")
"""Keys that migrations made narrower on PostgreSQL than the same tables have today; nothing refers to them."""
SOURCE = Path(__file__).parents[2] / "src"


def manage(home: Path, *words: str, database: str = "") -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HANSE_", "DJANGO_"))}
    kept.pop("DATABASE_URL", None)
    environment = kept | {"HANSE_HOME": str(home), "PYTHONPATH": str(SOURCE)}
    environment |= {"DATABASE_URL": database} if database else {}
    subprocess.run([sys.executable, "-m", "hanse", "manage", *words], env=environment, check=True, cwd=home)


def parts(statement: str) -> Iterator[str]:
    """Of a CREATE TABLE, its columns and constraints; of anything else the whole. Their order is left aside."""
    body = re.fullmatch(r"(CREATE TABLE \S+) \((.*)\)", statement, re.DOTALL)
    depth, part = 0, ""
    for letter in f"{body[2]}," if body else "":
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            yield " ".join(f"{body[1] if body else ''}: {part}".split())
            part = ""
        else:
            part += letter
    if body is None:
        yield statement


def in_sqlite(home: Path) -> set[str]:
    with sqlite3.connect(home / "service" / "hanse.sqlite3") as connection:
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        return {part for (statement,) in found for part in parts(statement)}


def test_tables_made_at_once_are_those_that_migrations_make(tmp_path: Path) -> None:
    grown, new = tmp_path / "grown", tmp_path / "new"
    for home, verb in ((grown, "migrate"), (new, "prepare")):
        home.mkdir()
        manage(home, verb)
    assert in_sqlite(new) == in_sqlite(grown)
    manage(new, "migrate", "--check")  # nothing is left to do


def test_on_postgresql_too(tmp_path: Path) -> None:
    def dumped(verb: str) -> set[str]:
        url = postgres.up()
        manage(tmp_path, verb, database=url)
        folder = url.partition("host=")[2]
        command = [postgres.BINARIES[-1] / "pg_dump", "--schema-only", "-U", "postgres", "-h", folder, "postgres"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        every = "\n".join(line for line in text.splitlines() if line and not line.startswith(("--", "\\")))
        statements = (" ".join(one.split()) for one in every.split(";\n"))
        return {part for statement in statements for part in parts(statement)}

    new, grown = dumped("prepare"), dumped("migrate")
    assert {one.replace(": id bigint", ": id integer") if WIDER.match(one) else one for one in new} == grown
