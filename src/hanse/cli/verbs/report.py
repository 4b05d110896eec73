"""`hanse report`: one run as a self-contained HTML file, or as the record it is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the latest if left out.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it.")] = Path("report.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON and write nothing.")] = False,
) -> None:
    from hanse.cli import pick
    from hanse.cli.connect import client as connect
    from hanse.cli.home import short
    from hanse.cli.output import print_json, require_file_can_be, tell

    if not as_json:
        require_file_can_be(out)
    client = connect()
    record = client.record(pick.run(client, run_id).id)
    if as_json:
        print_json(record)
        return
    from hanse.reporting.run_report import render

    out.write_text(render(record), encoding="utf-8")
    tell(f"Report of {record.run.id} ({record.run.state}) written to {short(out)}")
