"""A release: written whole, checked against the record, refused where it would claim what is not so, and told once."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hanse.cli import publishing
from hanse.cli.main import app
from hanse.contracts.errors import Conflict, PolicyError, SpecError, UsageError
from hanse.contracts.record import RunRecord
from hanse.contracts.telemetry import DatasetRead
from hanse.rules.documents import compute
from hanse.service.compliance import releases
from hanse.service.compliance.models import Release, RunEvaluation
from hanse.service.runs.models import Event
from tests.compliance.parts import Granted, grant
from tests.compliance.test_watch import finished, read_of
from tests.reporting import records
from tests.rules.test_evaluations import LM_EVAL
from tests.service.fixtures import make_world

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def safetensors(path: Path, elements: int) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [elements], "data_offsets": [0, 4 * elements]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * elements))


def export(folder: Path, elements: int, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    safetensors(folder / "model.safetensors", elements)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def record_read(**changes: Any) -> RunRecord:
    """The finished record, with the ledger's word on what it read."""
    record = records.finished()
    declared = record.run.spec.data[0]
    read = DatasetRead(
        name=declared.name, source=declared.source, licence=declared.licence, samples=10, tokens=1000,
        shards_sha256="a" * 64,
    )  # fmt: skip
    assert record.result is not None
    small = record.result.model_copy(update={"datasets": (read,), "parameters": 5_000})
    return record.model_copy(update={"result": small, **changes})


def wanted(**changes: Any) -> publishing.Wanted:
    given = {"version": "1.0", "licence": "Apache-2.0", "licence_file": None, "url": "", "facts": {}}
    return publishing.Wanted(**{**given, **changes})


def test_a_release_holds_weights_card_licence_documents_and_hashes_and_says_what_was_read(tmp_path: Path) -> None:
    record, out = record_read(), tmp_path / "release"
    name = record.run.spec.data[0].name
    made = publishing.write(record, export(tmp_path / "export", 5_000), out, wanted(), at=AT)
    assert {
        "model.safetensors", "config.json", "tokenizer.json", "README.md", "LICENSE", "CITATION.cff", ".zenodo.json",
        f"croissant/{name}.json", "documents/training-content-summary.json", "documents/energy-statement.html",
    } <= {one.path for one in made.files}  # fmt: skip
    front = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert front["license"] == "apache-2.0"
    cited = yaml.safe_load((out / "CITATION.cff").read_text())
    assert (cited["cff-version"], cited["license"], str(cited["date-released"])) == (
        "1.2.0",
        "Apache-2.0",
        "2026-11-23",
    )
    assert cited["authors"] == [{"name": record.application.form.organisation}]
    assert json.loads((out / ".zenodo.json").read_text())["license"] == "apache-2.0"
    reference = json.loads((out / "croissant" / f"{name}.json").read_text())
    assert (reference["@type"], reference["license"]) == ("sc:Dataset", record.run.spec.data[0].licence)
    lines = (out / "SHA256SUMS").read_text().splitlines()
    for digest, name in (line.split("  ") for line in lines):
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert made.record_sha256 == record.digest()
    assert publishing.verify(out) == ()
    whole = "".join(path.read_text(errors="replace") for path in out.rglob("*") if path.is_file())
    assert "@norrlyd.example" not in whole, "no address of a person is published"


def test_what_is_changed_in_a_release_is_found(tmp_path: Path) -> None:
    out = tmp_path / "release"
    publishing.write(record_read(), export(tmp_path / "export", 5_000), out, wanted(), at=AT)
    (out / "LICENSE").write_text("all rights")
    (out / "extra.bin").write_bytes(b"x")
    (out / "CITATION.cff").unlink()
    assert publishing.verify(out) == (
        "CITATION.cff is missing", "LICENSE was changed after it was published", "extra.bin was added",
    )  # fmt: skip
    with pytest.raises(SpecError, match="no release"):
        publishing.verify(tmp_path)


@pytest.mark.parametrize(
    ("changes", "of_record", "says"),
    [
        ({"licence": None}, {}, "under which licence"),
        ({"licence": "as you like"}, {}, "no SPDX identifier"),
        ({"facts": {"licence": "MIT"}}, {}, "Apache-2.0 is asked, the facts say MIT"),
        ({"licence_file": Path("/nowhere/LICENSE")}, {}, "cannot be read"),
        ({}, {"application": None}, "who made the model is not known"),
        ({}, {"result": None}, "the run is finished"),
    ],
)
def test_what_cannot_be_claimed_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, changes: Any, of_record: Any, says: str
) -> None:
    weights = export(tmp_path / "export", 5_000)
    with pytest.raises(UsageError, match=says):
        publishing.write(record_read(**of_record), weights, tmp_path / "release", wanted(**changes), at=AT)
    assert not (tmp_path / "release").exists()


def test_undeclared_data_other_weights_and_a_stop_of_the_gate_are_refused(tmp_path: Path) -> None:
    record, out = record_read(), tmp_path / "release"
    assert record.result is not None and record.gate is not None
    strange = record.result.datasets[0].model_copy(update={"name": "secret"})
    told = record.result.model_copy(update={"datasets": (*record.result.datasets, strange)})
    with pytest.raises(SpecError, match="secret was read and is not declared"):
        publishing.write(
            record.model_copy(update={"result": told}), export(tmp_path / "a", 5_000), out, wanted(), at=AT
        )
    silent = record.result.model_copy(update={"datasets": ()})
    with pytest.raises(UsageError, match="which datasets"):
        publishing.write(record.model_copy(update={"result": silent}), tmp_path / "a", out, wanted(), at=AT)
    with pytest.raises(UsageError, match="4,999 parameters, the run's result says 5,000"):
        publishing.write(record, export(tmp_path / "b", 4_999), out, wanted(), at=AT)
    with pytest.raises(UsageError, match="num_hidden_layers 77"):
        publishing.write(record, export(tmp_path / "c", 5_000, num_hidden_layers=77), out, wanted(), at=AT)
    stopped = record.gate.model_copy(update={"verdict": "deny"})
    with pytest.raises(PolicyError, match="gate stopped"):
        publishing.write(record.model_copy(update={"gate": stopped}), tmp_path / "a", out, wanted(), at=AT)
    weights = export(tmp_path / "d", 5_000) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(SpecError, match="damaged"):
        publishing.write(record, weights.parent, out, wanted(), at=AT)
    out.mkdir()
    with pytest.raises(UsageError, match="there already"):
        publishing.write(record, tmp_path / "a", out, wanted(), at=AT)
    assert compute.parameters(record) == 5_000


@pytest.mark.django_db
def test_a_release_is_kept_once_and_another_content_under_its_version_is_refused(
    granted: Granted, tmp_path: Path
) -> None:
    run = finished(granted.world.launch(), read_of())
    assert releases.evidence(run) is None
    told = publishing.write(record_read(), export(tmp_path / "e", 5_000), tmp_path / "r", wanted(), at=AT)
    mine = told.model_copy(update={"run_id": run.public_id, "datasets": ("stdlib",)})
    first = releases.publish(run, mine, granted.world.founder)
    assert releases.publish(run, mine, granted.world.founder).pk == first.pk
    assert granted.world.events("user:release:published") == 1
    shown = releases.evidence(run)
    assert shown is not None and shown["sha256"] == mine.digest() and "Apache-2.0" in shown["text"]
    with pytest.raises(Conflict):
        releases.publish(run, mine.model_copy(update={"licence": "MIT"}), granted.world.founder)
    with pytest.raises(UsageError, match="not declared"):
        releases.publish(run, mine.model_copy(update={"version": "2", "datasets": ("x",)}), granted.world.founder)
    with pytest.raises(UsageError, match="of run-7f3a"):
        releases.publish(run, told, granted.world.founder)
    with pytest.raises(UsageError, match="the run is queued"):
        other = granted.world.launch()
        releases.publish(other, mine.model_copy(update={"run_id": other.public_id}), granted.world.founder)


@pytest.mark.django_db(transaction=True)
def test_from_the_command_line_a_run_is_evaluated_published_and_checked(
    live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted = grant(make_world())
    run = finished(granted.world.launch(), read_of())
    monkeypatch.setenv("HANSE_URL", live_server.url)
    monkeypatch.setenv("HANSE_TOKEN", granted.world.token(granted.world.founder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps(LM_EVAL))
    export(tmp_path / "export", 100_000)

    def hanse(*words: str) -> Any:
        return CliRunner().invoke(app, list(words), prog_name="hanse")

    for _ in range(2):
        said = hanse("comply", "evaluation", run.public_id, "results.json")
        assert said.exit_code == 0 and "hellaswag acc 0.31" in said.stdout, said.output
    assert RunEvaluation.objects.count() == 1
    assert hanse("publish", "--weights", "export").exit_code == 2, "nobody said a licence"
    done = hanse("publish", "--weights", "export", "--licence", "MIT", "--out", "mine")
    assert done.exit_code == 0, done.output
    assert "hellaswag acc 0.31" in (tmp_path / "mine" / "README.md").read_text()
    assert Release.objects.get().release.licence == "MIT"
    assert hanse("publish", "--check", "mine").exit_code == 0
    (tmp_path / "mine" / "README.md").write_text("the best model there is")
    assert hanse("publish", "--check", "mine").exit_code == 1
    assert hanse("comply", "evaluation", run.public_id, "mine/config.json").exit_code == 2
    assert Event.objects.filter(subject_id=run.public_id, name="user:evaluation:attached").count() == 1
