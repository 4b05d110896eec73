"""What goes into a code bundle, that it is the same bytes every time, and what is refused."""

from __future__ import annotations

import io
import os
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.cli import bundle
from hanse.contracts.errors import UsageError
from hanse.contracts.spec import CommandSpec, DatasetSpec, ModelSpec, TrainSpec, WhereSpec


def command_spec() -> TrainSpec:
    return TrainSpec(name="hello", command=CommandSpec(run="true"), where=WhereSpec(max_gpu_hours=1))


def entry_spec(source: str, *, personal_data: bool = False) -> TrainSpec:
    return TrainSpec(
        name="mine", model=ModelSpec(entry="mine:make", vocab=300, context=32), batch=2, tokens=1000,
        data=(DatasetSpec(name="texts", source=source, licence="CC0-1.0", personal_data=personal_data),),
        where=WhereSpec(max_gpu_hours=1),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = tmp_path / "project"
    for name in (".git/config", "__pycache__/a.pyc", ".venv/lib/x.py", "pkg/mine.py", "pkg/__pycache__/b.pyc"):
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text("x")
    (code / "train.yaml").write_text("name: hello")
    (code / "run.sh").write_text("#!/bin/sh\n")
    (code / "run.sh").chmod(0o755)
    return code


def names(packed: bundle.Bundle) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(packed.data)) as archive:
        return archive.getnames()


def test_caches_environments_and_version_control_stay_at_home(folder: Path) -> None:
    packed = bundle.make(command_spec(), folder / "train.yaml")
    assert names(packed) == ["pkg/mine.py", "run.sh", "train.yaml"]


def test_the_same_files_make_the_same_bytes_whatever_their_times_and_owners(folder: Path) -> None:
    first = bundle.make(command_spec(), folder / "train.yaml")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    assert bundle.make(command_spec(), folder / "train.yaml").data == first.data
    (folder / "run.sh").write_text("#!/bin/sh\nexit 1\n")
    assert bundle.make(command_spec(), folder / "train.yaml").sha256 != first.sha256


def test_a_program_stays_executable(folder: Path) -> None:
    packed = bundle.make(command_spec(), folder / "train.yaml")
    with tarfile.open(fileobj=io.BytesIO(packed.data)) as archive:
        assert archive.getmember("run.sh").mode == 0o755
        assert archive.getmember("train.yaml").mode == 0o644


@pytest.mark.parametrize("source", ["texts/*.txt", "texts", "{folder}/texts/*.txt"])
def test_a_little_data_travels_with_the_code_and_much_stays(folder: Path, source: str) -> None:
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("data")
    spec = entry_spec(source.format(folder=folder))
    little = bundle.make(spec, folder / "train.yaml")
    assert "texts/a.txt" in names(little)
    assert little.data_left == ()
    for name in "bcd":
        (folder / "texts" / f"{name}.txt").write_bytes(b"x" * 2_000_000)
    much = bundle.make(spec, folder / "train.yaml")
    assert not any(name.startswith("texts/") for name in names(much))
    assert much.data_left == (("texts", 6_000_004),)
    assert "pkg/mine.py" in names(much)


def test_personal_data_never_travels_with_the_code(folder: Path) -> None:
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("data")
    packed = bundle.make(entry_spec("texts", personal_data=True), folder / "train.yaml")
    assert "texts/a.txt" not in names(packed)
    assert packed.data_left == (("texts", 4),)


def test_a_big_file_is_left_out_and_told(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"0" * (bundle.MAX_FILE_BYTES + 1))
    packed = bundle.make(command_spec(), folder / "train.yaml")
    assert packed.too_big == (("model.bin", bundle.MAX_FILE_BYTES + 1),)
    assert "model.bin" not in names(packed)


def test_too_much_code_is_refused_and_the_biggest_files_are_named(folder: Path) -> None:
    noise = random.Random(1)
    for index in range(6):
        (folder / f"part-{index}.dat").write_bytes(noise.randbytes(4_000_000 + index))
    with pytest.raises(UsageError) as caught:
        bundle.make(command_spec(), folder / "train.yaml")
    assert "part-5.dat (4" in caught.value.fix
    assert caught.value.exit_code == 2


def test_a_folder_of_thousands_of_files_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_FILES", 2)
    with pytest.raises(UsageError, match="More than 2 files"):
        bundle.make(command_spec(), folder / "train.yaml")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.dictionaries(st.from_regex(r"\A[a-z]{1,8}(/[a-z]{1,8})?\.py\Z"), st.binary(max_size=200), max_size=6)
)
def test_what_is_packed_unpacks_to_what_was_there(
    contents: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("law")
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "train.yaml").write_bytes(b"name: law")
    packed = bundle.make(command_spec(), root / "train.yaml")
    with tarfile.open(fileobj=io.BytesIO(packed.data)) as archive:
        unpacked = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    assert unpacked == {**contents, "train.yaml": b"name: law"}
