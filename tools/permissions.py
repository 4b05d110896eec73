"""Print the lines that tests/service/permissions.txt lacks, with the answers seen now, for a person to judge.

    PYTHONPATH=src python tools/permissions.py            what is missing
    PYTHONPATH=src python tools/permissions.py --all      every line
    PYTHONPATH=src python tools/permissions.py --changed  lines whose answers are others now

A line is right only when somebody has read it: nothing is written into the file by itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "src"), str(Path(__file__).resolve().parent.parent)]

from tests.service import environment  # noqa: E402


def main(arguments: list[str]) -> int:
    environment.set_up()
    from django.db import connection, transaction
    from django.test.utils import setup_test_environment

    from tests.service import permissions

    setup_test_environment()
    connection.creation.create_test_db(verbosity=0)
    try:
        with transaction.atomic():
            on, judged = permissions.stage(), permissions.table()
            for act in permissions.acts():
                if act in judged and not arguments:
                    continue
                try:
                    seen = permissions.answers(on, act)
                except KeyError as unknown:
                    print(f"# {act}: give the name {unknown} a value in tests/service/permissions.py, `stage`")
                    continue
                if "--changed" not in arguments or (act in judged and judged[act] != seen):
                    print(permissions.line(act, seen))
            for gone in sorted(set(judged) - set(permissions.acts())):
                print(f"# no longer there: {gone}")
            transaction.set_rollback(True)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
