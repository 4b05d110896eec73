"""`hanse pack`: code and wheels for nodes without internet, as one file that installs itself there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    spec_path: Annotated[Path, typer.Argument(metavar="[TRAIN.YAML]", help="What is to run.")] = Path("train.yaml"),
    machine: Annotated[str, typer.Option("--machine", "-m", help="Where: id or description.")] = "local",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it.")] = None,
    python: Annotated[
        str | None, typer.Option("--python", help="Python there, as 3.12. Default: the one here.")
    ] = None,
    apptainer: Annotated[bool, typer.Option("--apptainer", help="Also write a definition for a container.")] = False,
) -> None:
    from hanse.cli import packing, packing_files
    from hanse.cli.home import short
    from hanse.cli.machine import resolve
    from hanse.cli.output import note, require_file_can_be, tell
    from hanse.contracts.units import format_bytes
    from hanse.workloads.load import load_spec

    spec, found = load_spec(spec_path), resolve(machine)
    path = out or Path(f"{spec.name}-{found.id}.tar.gz")
    require_file_can_be(path)
    target = packing.target_of(found, python)
    container = packing_files.definition(found.accelerator.kind, path.name) if apptainer else ""
    packed = packing.make(spec, spec_path, target, path)
    for line in packed.left_out:
        note(f"Left out: {line}")
    if container:
        definition = path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.tar')}.def")
        definition.write_text(container, encoding="utf-8")
        tell(f"Container definition written to {short(definition)}")
    glibc = ".".join(map(str, target.glibc))
    tell(
        f"{len(packed.wheels)} wheels for {target.architecture}, Python {target.python}, glibc {glibc} or newer; "
        f"{format_bytes(packed.size_bytes)} written to {short(packed.path)}",
        "There: tar -xzf it, then sh install.sh PYTHON (one that can import torch).",
    )
