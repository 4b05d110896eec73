"""`hanse publish`: a finished run's model as a folder to upload, checked against its record, told to the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the latest if left out.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write it. Default: release-RUN.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="SPDX", help="Of the weights, as Apache-2.0.")
    ] = None,
    licence_file: Annotated[
        Path | None, typer.Option("--licence-file", metavar="FILE", help="Its text, copied as LICENSE.")
    ] = None,
    facts: Annotated[
        Path | None, typer.Option("--facts", metavar="FACTS.YAML", help="What no record says, as field: value.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FOLDER", help="The run's export, where it is not here.")
    ] = None,
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="Of the release.")] = "1.0",
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Where it will be found, if known.")] = "",
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FOLDER", help="Only say whether a release is as it claims.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The release as JSON.")] = False,
) -> None:
    from hanse.cli import documents, pick, publishing
    from hanse.cli.connect import client as connect
    from hanse.cli.home import home, short
    from hanse.cli.output import print_json, tell
    from hanse.client.compliance import publish
    from hanse.contracts.base import now
    from hanse.contracts.errors import UsageError

    if check is not None:
        wrong = publishing.verify(check)
        tell(*(wrong or ("The release is as it claims: every file, every document.",)))
        if wrong:
            raise typer.Exit(1)
        return
    if url and not url.startswith("https://"):
        raise UsageError(f"{url!r} is no address", where="--url", fix="Write it as https://huggingface.co/you/model.")
    stated = documents.read_facts(facts)
    client = connect()
    record = client.record(pick.run(client, run_id).id)
    folder = out or Path(f"release-{record.run.name}-{version}")
    wanted = publishing.Wanted(version=version, licence=licence, licence_file=licence_file, url=url, facts=stated)
    made = publishing.write(record, publishing.weights_of(record, weights, home()), folder, wanted, at=now())
    publish(client, made)
    if as_json:
        print_json(made)
        return
    total = sum(one.size_bytes for one in made.files)
    tell(
        f"{made.name} {made.version} under {made.licence}: {len(made.files)} files, {total / 1e6:,.1f} MB, in "
        f"{short(folder)}/",
        "It is a folder as the Hugging Face Hub takes it, with .zenodo.json and CITATION.cff; nothing was uploaded. "
        "The service has its hashes, as evidence that the model is released.",
    )
