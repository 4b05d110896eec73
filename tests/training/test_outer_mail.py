"""Nothing is taken from a file that is damaged, a stranger's, of another run, or under another name; and it is said."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.contracts.outer import LARGEST_HEADER_BYTES, OuterCommit, OuterFile, OuterLaunch, OuterPart, OuterShare
from hanse.contracts.rundir import RunDir
from hanse.tickets import keys
from hanse.training.outer import merge, trail
from hanse.training.outer.mail import Mail
from hanse.training.outer.quantise import encode
from tests.training.federation import agree, private_key

TERMS = agree(2, codec="int8")
VALUES = np.linspace(-1, 1, 300, dtype=np.float32)
HASH = "0" * 64


def mail_of(folder: Path, leg: str = "leonardo", key: bytes | None = None) -> Mail:
    run = RunDir(folder)
    folder.mkdir(parents=True, exist_ok=True)
    number = [each.name for each in TERMS.legs].index(leg)
    notes = trail.Trail(run.outer_rows, leg, 1)
    return Mail(run, OuterLaunch(leg=leg, terms=TERMS), key or private_key(number), [len(VALUES)], notes)


def part(**changes: object) -> tuple[OuterPart, bytes]:
    payload = encode(VALUES, "int8")
    body = OuterPart(
        run_id="run-1", terms_sha256=TERMS.digest(), leg="lumi", outer_step=3, fragment=0, base_sha256=HASH, step=400,
        tokens=100, samples=10, values=len(VALUES), codec="int8", payload_bytes=len(payload),
        payload_sha256=merge.sha256(payload), norm=1.0, at=now(),
    )  # fmt: skip
    return body.model_copy(update=changes), payload


def commit(**changes: object) -> tuple[OuterCommit, bytes]:
    body = OuterCommit(
        run_id="run-1", terms_sha256=TERMS.digest(), leg="lumi", outer_step=0, fragment=0, base_sha256=HASH,
        parts=(OuterShare(leg="lumi", part_sha256=HASH, tokens=1),), result_sha256=HASH, at=now(),
    )  # fmt: skip
    return body.model_copy(update=changes), b""


def sealed(made: tuple[OuterPart | OuterCommit, bytes], key: bytes | None = None) -> tuple[str, bytes]:
    body, payload = made
    signature = keys.private_key(key or private_key(0)).sign(body.canonical())
    file = OuterFile(body=body, signature=base64.b64encode(signature).decode())
    return file.name, file.model_dump_json().encode() + b"\n" + payload


def unsigned(name: str, content: bytes) -> tuple[str, bytes]:
    line, _, rest = content.partition(b"\n")
    return name, json.dumps({**json.loads(line), "signature": ""}).encode() + b"\n" + rest


def heavier(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content.replace(b'"tokens":100', b'"tokens":900')


REFUSED: dict[str, tuple[Callable[[], tuple[str, bytes]], str]] = {
    "cut short": (lambda: (sealed(part())[0], sealed(part())[1][:-1]), "is damaged"),
    "a bit turned": (lambda: (sealed(part())[0], sealed(part())[1][:-1] + b"\x55"), "checksum"),
    "a header altered": (lambda: heavier(*sealed(part())), "leg lumi has not signed it"),
    "unsigned": (lambda: unsigned(*sealed(part())), "leg lumi has not signed it"),
    "signed by another": (lambda: sealed(part(), private_key(1)), "leg lumi has not signed it"),
    "a stranger's": (lambda: sealed(part(leg="jupiter"), private_key(3)), "jupiter is no leg of this run"),
    "of another run": (lambda: sealed(part(run_id="run-2")), "it is of run run-2"),
    "of other terms": (lambda: sealed(part(terms_sha256=HASH)), "its leg has other terms"),
    "of another model": (lambda: sealed(part(values=299)), "another model"),
    "of a fragment there is not": (lambda: sealed(part(fragment=1)), "another model"),
    "of another codec": (lambda: sealed(part(codec="fp32")), "encoded as fp32"),
    "replayed as a later step": (
        lambda: (sealed(part(outer_step=9))[0], sealed(part())[1]), "part-0000-lumi.outer under another name"
    ),
    "committed by a leg that may not": (lambda: sealed(commit(leg="leonardo"), private_key(1)), "it is lumi that"),
    "a commit with a stranger": (
        lambda: sealed(commit(parts=(OuterShare(leg="mn5", part_sha256=HASH, tokens=1),))), "not those of the run"
    ),
    "a commit with a tail": (lambda: (sealed(commit())[0], sealed(commit())[1] + b"x"), "1 bytes follow"),
    "no file of ours": (lambda: ("notes.txt", b"hello"), "no file of a leg"),
    "no header": (lambda: (sealed(part())[0], b"x" * (2 * LARGEST_HEADER_BYTES)), "header cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_loudly_and_stays_to_be_looked_at(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, why = REFUSED[what]
    mail = mail_of(tmp_path)
    name, content = make()
    (mail.inbox / name).write_bytes(content)
    mail.look()
    assert not mail.found.parts and not mail.found.commits
    assert (mail.inbox / f"{name}.refused").read_bytes() == content and not (mail.inbox / name).exists()
    (row,) = trail.read(RunDir(tmp_path).outer_rows)
    assert row.what == "refused" and why in row.reason and name in row.reason
    assert f"REFUSED {name}" in capfd.readouterr().out
    # The genuine one may still come.
    genuine, content = sealed(part())
    (mail.inbox / genuine).write_bytes(content)
    mail.look()
    assert mail.part(3, "lumi") is not None


def test_what_is_genuine_is_taken_once_and_drafts_are_left_alone(tmp_path: Path) -> None:
    mail = mail_of(tmp_path)
    name, content = sealed(part())
    (mail.inbox / f".{name}.tmp").write_bytes(content[:40])
    (mail.inbox / f"{name}.tmp").write_bytes(content[:40])
    mail.look()
    assert mail.version == 0 and not trail.read(RunDir(tmp_path).outer_rows)
    (mail.inbox / name).write_bytes(content)
    mail.look()
    mail.look()
    assert mail.version == 1
    found = mail.part(3, "lumi")
    assert found is not None and np.allclose(mail.values(found), VALUES, atol=0.01)


def test_a_file_that_changes_after_it_was_checked_is_not_merged(tmp_path: Path) -> None:
    mail = mail_of(tmp_path)
    name, content = sealed(part())
    (mail.inbox / name).write_bytes(content)
    mail.look()
    (mail.inbox / name).write_bytes(content[:-1] + b"\x55")
    found = mail.part(3, "lumi")
    assert found is not None
    with pytest.raises(NotAsWritten, match="changed since it was checked"):
        mail.values(found)


def test_a_leg_does_not_begin_with_a_key_that_the_others_do_not_know(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not the key that the run's terms name for leg leonardo"):
        mail_of(tmp_path, key=private_key(3))


def test_what_was_sent_once_is_never_overwritten_and_goes_when_everybody_is_past_it(tmp_path: Path) -> None:
    mail = mail_of(tmp_path, "lumi")
    body, payload = part()
    mail.send(body, payload)
    (file,) = mail.outbox.iterdir()
    before = file.read_bytes()
    mail.send(body.model_copy(update={"tokens": 999}), payload)
    assert file.read_bytes() == before
    mail.prune(3)
    assert file.exists()
    mail.prune(4)
    assert not file.exists() and mail.part(3, "lumi") is None
