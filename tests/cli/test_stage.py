"""Data reaches a machine whole or not at all; what was there is not sent twice; bad input is one message."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hanse.cli import stage_files, stage_fsspec, stage_rsync
from hanse.contracts.errors import SiteError, UsageError
from tests import needs, sshd
from tests.cli.conftest import Hanse
from tests.sshd import Sshd
from tests.waiting import until


@pytest.fixture
def rsync() -> str:
    return needs.program("rsync", package="rsync")


needs_rsync = pytest.mark.usefixtures("rsync")
PART = stage_files.STAGING


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Some files: names with blanks, quotes and other letters, folders, a link, an empty one."""
    chance = random.Random(4)
    folder = tmp_path / "corpus"
    for name, size in (("a.txt", 5000), ('b c/d\'e "f".txt', 70_000), ("Lübeck/ü.bin", 12_345), ("none", 0)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(chance.randbytes(size))
    (folder / "link").symlink_to(folder / "a.txt")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    up = sshd.up(tmp_path / "sshd")
    yield up
    up.stop()


def ways(server: Sshd) -> list[str]:
    return [
        "--host", server.login, "--port", str(server.port), "--key", str(server.key),
        "--known-hosts", str(server.known_hosts),
    ]  # fmt: skip


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != stage_fsspec.RECORD
    }


def staged(hanse: Hanse, *words: str) -> dict[str, object]:
    said = hanse("stage", *words, "--json")
    assert said.code == 0, said.err
    (one,) = json.loads(said.out)["staged"]
    return dict(one)


@needs_rsync
def test_a_folder_reaches_a_machine_over_ssh_and_is_not_sent_again(
    corpus: Path, tmp_path: Path, server: Sshd, hanse: Hanse
) -> None:
    there = tmp_path / "it's there" / "data"
    words = [str(corpus), f"leonardo-booster:{there}", *ways(server)]
    first = staged(hanse, *words)
    assert content(there) == content(corpus) and not (there / PART).exists()
    assert (first["files"], first["size_bytes"], first["sent_bytes"]) == (5, 92_345, 92_345)
    assert staged(hanse, *words)["sent_bytes"] == 0
    (corpus / "a.txt").write_bytes(b"new")
    assert staged(hanse, *words)["sent_bytes"] == 6, "itself and by its link"
    (there / "none").write_bytes(b"somebody's")
    (there / "b c" / 'd\'e "f".txt').write_bytes(random.Random(1).randbytes(70_000))
    assert staged(hanse, *words)["sent_bytes"] == 70_000, "of the same size, yet not the same"
    assert content(there) == content(corpus)


@needs_rsync
def test_a_staging_cut_in_the_middle_goes_on_and_sends_nothing_twice(
    tmp_path: Path, server: Sshd, hanse: Hanse
) -> None:
    here, there = tmp_path / "big.bin", tmp_path / "there"
    here.write_bytes(random.Random(2).randbytes(6_000_000))
    words = [str(here), f"leonardo-booster:{there}", *ways(server)]
    part = there / PART / "big.bin"

    def until_there_are(size_bytes: int) -> subprocess.Popen[str]:
        slowly = [sys.executable, "-m", "hanse", "stage", *words, "--max-mb-per-s", "1"]
        process = subprocess.Popen(slowly, stderr=subprocess.PIPE, text=True)
        until(
            lambda: part.exists() and part.stat().st_size > size_bytes, within_s=60, what="a part", every_s=0.05
        )  # fmt: skip
        return process

    killed = until_there_are(500_000)
    killed.kill()
    server.stop()
    killed.communicate(timeout=60)
    kept = part.stat().st_size
    server.start()
    cut = until_there_are(kept + 500_000)
    server.stop()
    _, told = cut.communicate(timeout=60)
    assert cut.returncode == 1 and "what has arrived is kept" in told and "Traceback" not in told
    arrived = part.stat().st_size
    assert not (there / "big.bin").exists() and kept < arrived < 6_000_000
    server.start()
    assert staged(hanse, *words)["sent_bytes"] == 6_000_000 - arrived
    assert content(there) == {"big.bin": hashlib.sha256(here.read_bytes()).hexdigest()}


@needs_rsync
def test_what_lies_half_there_of_another_content_is_mended(tmp_path: Path, server: Sshd, hanse: Hanse) -> None:
    here, there = tmp_path / "new", tmp_path / "there"
    (there / PART).mkdir(parents=True)
    here.mkdir()
    for name, wrong_bytes in (("shorter", 50_000), ("same", 100_000), ("longer", 200_000)):
        (here / name).write_bytes(random.Random(name).randbytes(100_000))
        (there / PART / name).write_bytes(b"x" * wrong_bytes)
    staged(hanse, str(here), f"leonardo-booster:{there}", *ways(server))
    assert content(there) == content(here)


@needs_rsync
def test_what_a_machine_behind_ssh_lacks_is_one_message(
    corpus: Path, tmp_path: Path, server: Sshd, hanse: Hanse
) -> None:
    (tmp_path / "file").write_text("")
    said = hanse("stage", str(corpus), f"leonardo-booster:{tmp_path}/file/below", *ways(server))
    assert said.code == 1 and said.err.count("Error:") == 1 and "the folder cannot be made" in said.err.lower()
    stranger = sshd.keypair(tmp_path / "stranger")
    door = [*ways(server)[:4], "--key", str(stranger), *ways(server)[6:]]
    said = hanse("stage", str(corpus), f"leonardo-booster:{tmp_path}/x", *door)
    assert said.code == 1 and "no key it knows was offered" in said.err
    said = hanse("stage", "https://example.org/x", "leonardo-booster:/x", *ways(server))
    assert said.code == 2 and "hanse stage https://example.org/x leonardo-booster:/x" in said.err


def test_ssh_gets_the_settings_that_connect_takes(tmp_path: Path) -> None:
    door = stage_rsync.Door("me@there", 22022, tmp_path / "a key", "hop", tmp_path / "known")
    command = door.ssh()
    assert f"'-i{tmp_path}/a key'" in command and "-p22022" in command and "-Jhop" in command
    assert f"-oUserKnownHostsFile={tmp_path}/known" in command and "-oStrictHostKeyChecking=yes" in command
    assert stage_rsync.Door("me@there").ssh().split()[0] == "ssh"


def test_without_ssh_it_is_staged_here_verified_and_not_twice(corpus: Path, tmp_path: Path, hanse: Hanse) -> None:
    there = tmp_path / "there"
    words = [str(corpus), f"local:{there}"]
    assert staged(hanse, *words)["sent_bytes"] == 92_345
    assert content(there) == content(corpus) and not (there / PART).exists()
    assert staged(hanse, *words)["sent_bytes"] == 0
    (there / "a.txt").write_bytes(random.Random(9).randbytes(5000))
    assert staged(hanse, *words)["sent_bytes"] == 5000, "damaged there"
    assert content(there) == content(corpus)


class _TornError(Exception):
    pass


def test_a_copy_that_was_killed_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_fsspec, "BLOCK_BYTES", 1000)
    (tmp_path / "big").write_bytes(random.Random(5).randbytes(9_500))
    parcel = stage_files.Parcel(stage_files.listing(tmp_path / "big"), stage_files.PurePosixPath("/"))
    there = tmp_path / "there"

    def tear(_what: str, done: int, _total: int) -> None:
        if done >= 4000:
            raise _TornError

    with pytest.raises(_TornError):
        stage_fsspec.stage(stage_fsspec.origins_of(parcel), str(there), tear)
    arrived = (there / PART / "big").stat().st_size
    assert 0 < arrived < 9_500 and not (there / "big").exists()
    told = stage_fsspec.stage(stage_fsspec.origins_of(parcel), str(there), lambda *_: None)
    assert told.sent_bytes == 9_500 - arrived
    assert (there / "big").read_bytes() == (tmp_path / "big").read_bytes()


def test_a_copy_whose_origin_changed_meanwhile_begins_anew(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / PART).mkdir(parents=True)
    (there / PART / "big").write_bytes(b"old")
    (there / PART / "big.origin").write_text("3:1")
    (tmp_path / "big").write_bytes(b"entirely new")
    parcel = stage_files.Parcel(stage_files.listing(tmp_path / "big"), stage_files.PurePosixPath("/"))
    assert stage_fsspec.stage(stage_fsspec.origins_of(parcel), str(there), lambda *_: None).sent_bytes == 12
    assert (there / "big").read_bytes() == b"entirely new"


def test_an_origin_that_gives_less_than_it_said_is_not_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    short = stage_fsspec.Origin("short", 5, "m", partial((tmp_path / "short").open, "rb"))
    for target in (str(tmp_path / "there"), f"memory://{tmp_path}/there"):
        with pytest.raises(SiteError, match="did not arrive"):
            stage_fsspec.stage((short,), target, lambda *_: None)
    assert not (tmp_path / "there" / "short").exists()


def test_an_object_store_is_a_target_too_and_its_files_an_origin(corpus: Path, tmp_path: Path, hanse: Hanse) -> None:
    store = f"memory://bucket{tmp_path}"
    words = [str(corpus), f"leonardo-booster:{store}"]
    assert staged(hanse, *words)["sent_bytes"] == 92_345
    assert staged(hanse, *words)["sent_bytes"] == 0
    back = tmp_path / "back"
    assert staged(hanse, store, f"local:{back}")["files"] == 5
    assert content(back) == content(corpus)
    assert staged(hanse, f"file://{corpus}", f"local:{tmp_path}/again")["files"] == 5


def test_the_data_of_a_train_yaml_lies_there_at_its_own_paths_or_below_a_folder(
    corpus: Path, tmp_path: Path, hanse: Hanse
) -> None:
    spec = tmp_path / "train.yaml"
    spec.write_text(
        "name: mine\nmodel: {preset: tinyllama-1.1b}\nbatch: 2\ntokens: 1000\nwhere: {max_gpu_hours: 1}\ndata:\n"
        "  - {name: texts, source: 'corpus/*.txt', licence: CC0-1.0}\n"
        "  - {name: python, source: python-stdlib, licence: PSF-2.0}\n"
    )
    there = tmp_path / "there"
    assert staged(hanse, str(spec), f"local:{there}")["target"] == str(there / "texts")
    assert content(there / "texts").keys() == {"a.txt"}
    (texts,) = stage_files.of_spec(_loaded(spec), "", spec)
    assert str(texts.target) == str(corpus) and [item.path for item in texts.source.items] == ["a.txt"]
    spec.write_text(spec.read_text().replace("  - {name: texts, source: 'corpus/*.txt', licence: CC0-1.0}\n", ""))
    said = hanse("stage", str(spec), "local:")
    assert said.code == 2 and "names no data" in said.err


def _loaded(path: Path) -> stage_files.TrainSpec:  # type: ignore[name-defined]
    from hanse.workloads.load import load_spec

    return load_spec(path)


def test_bad_input_is_one_message_that_says_what_to_do(
    corpus: Path, tmp_path: Path, hanse: Hanse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))  # noqa: PTH120
    (tmp_path / "empty").mkdir()
    for source, target, said in (
        (corpus, "leonardo-booster", "does not say where to"),
        (corpus, "leonardo-booster:data", "is no absolute path"),
        (corpus, "leonardo-booster:/a/../../etc", "is no absolute path"),
        (corpus, "leonardo-booster:", "not said in which folder"),
        (corpus, "nowhere:/data", "There is no machine"),
        (corpus, "leonardo-booster:/data", "no login node of Leonardo"),
        (corpus, "local:gopher://host/x", "No package here reads such a URL"),
        (tmp_path / "absent", "local:/data", "no such file or folder"),
        (tmp_path / "empty", "local:/data", "no files in it"),
    ):
        answer = hanse("stage", str(source), target)
        assert answer.code == 2 and said in answer.err and answer.err.count("Error:") == 1, answer.err
        assert "To do:" in answer.err
    (corpus / "loop").symlink_to(corpus)
    assert "leads back" in hanse("stage", str(corpus), f"local:{tmp_path}/x").err
    (corpus / "loop").unlink()
    (corpus / "dangling").symlink_to(tmp_path / "absent")
    assert "leads nowhere" in hanse("stage", str(corpus), f"local:{tmp_path}/x").err
    assert not (tmp_path / "x").exists(), "nothing was done by halves"


def test_a_name_with_a_line_break_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_text("")
    with pytest.raises(UsageError, match="line break"):
        stage_files.listing(tmp_path)
