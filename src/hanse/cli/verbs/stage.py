"""`hanse stage`: data to a machine, over SSH or here; goes on where it was cut, verified before it is in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.cli.stage_files import Staged


def run(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="File, folder, URL, or a train.yaml: its data.")],
    target: Annotated[str, typer.Argument(metavar="MACHINE:DEST", help="Machine id, and the folder there.")],
    login: Annotated[
        str, typer.Option("--host", help="What you type after ssh; left out on the login node itself.")
    ] = "",
    port: Annotated[int | None, typer.Option("--port", help="sshd's port, if it is another.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Your private key; its certificate lies beside it.")] = None,
    jump: Annotated[str | None, typer.Option("--jump", help="Go through this host first.")] = None,
    known_hosts: Annotated[Path | None, typer.Option("--known-hosts", help="Another than ~/.ssh/known_hosts.")] = None,
    max_mb_per_s: Annotated[
        float | None, typer.Option("--max-mb-per-s", min=0.01, help="No faster than this; over SSH only.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was staged, as JSON.")] = False,
) -> None:
    from hanse.cli.machine import resolve
    from hanse.cli.output import print_json, tell
    from hanse.cli.stage_files import target_of
    from hanse.cli.staging import Door, stage
    from hanse.contracts.units import format_bytes

    name, folder = target_of(target)
    machine = resolve(name)
    door = Door(login, port, key, jump, known_hosts) if login else None
    told: list[dict[str, object]] = []
    for place, staged in stage(source, machine, folder, door, max_mb_per_s=max_mb_per_s):
        told.append({"target": place, **_figures(staged)})
        if not as_json:
            files = "file" if staged.files == 1 else "files"
            tell(
                f"{staged.files} {files}, {format_bytes(staged.size_bytes)}, verified in {place}; "
                f"{format_bytes(staged.sent_bytes)} sent now."
            )
    if as_json:
        print_json({"machine": machine.id, "staged": told})


def _figures(staged: Staged) -> dict[str, object]:
    return dict(staged._asdict())
