"""Files to a machine behind SSH, by rsync: what is there already is not sent, what is half there is completed.

rsync writes into a folder beside the target (`--append-verify`: a part that arrived is kept whatever ended it). A file
is moved to its place once its SHA-256 there, taken by sha256sum, is the one it has here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from hanse.cli.output import ProgramError
from hanse.cli.stage_files import STAGING, Parcel, Say, Staged
from hanse.contracts.errors import NoRoom, SiteError, UsageError
from hanse.contracts.units import format_bytes
from hanse.files.pieces import hash_file
from hanse.schedulers.ssh import SshHost

SLOWEST_HASH_BYTES_PER_S: Final = 20e6
TRIES: Final = 2
AGAIN: Final = "Run the same command again: what has arrived is kept and not sent twice."

# Reads "size path" lines; prints `sha256sum -z` of those that are files of that size below $1.
_LOOK: Final = """cd -- "$1" 2>/dev/null || exit 0
while IFS= read -r line; do p="${line#* }"
  [ -f "$p" ] && [ "$(stat -c %s -- "$p")" = "${line%% *}" ] && printf '%s\\0' "$p"
done | xargs -0 -r sha256sum -z --"""
# Reads "size path" lines; removes what is longer there: no beginning of that file.
_SHORTEN: Final = """cd -- "$1" 2>/dev/null || exit 0
while IFS= read -r line; do p="${line#* }"
  [ -f "$p" ] && [ "$(stat -c %s -- "$p")" -gt "${line%% *}" ] && rm -f -- "$p"
done; true"""
_REMOVE: Final = """cd -- "$1" 2>/dev/null || exit 0
while IFS= read -r p; do rm -f -- "$p" || exit 1; done"""
_PLACE: Final = f"""cd -- "$1" || exit 1
while IFS= read -r p; do
  case "$p" in */*) mkdir -p -- "${{p%/*}}" || exit 1;; esac
  mv -f -- "{STAGING}/$p" "$p" || exit 1
done
find "{STAGING}" -depth -type d -empty -delete 2>/dev/null; true"""


class Door(NamedTuple):
    """How `ssh` gets in: the same settings as those of `hanse connect`."""

    login: str
    port: int | None = None
    key: Path | None = None
    jump: str | None = None
    known_hosts: Path | None = None

    def host(self) -> SshHost:
        return SshHost(self.login, port=self.port, key=self.key, jump=self.jump, known_hosts=self.known_hosts)

    def ssh(self) -> str:
        """For rsync's -e."""
        words = ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oServerAliveInterval=15"]
        words += [f"-p{self.port}"] if self.port else []
        words += [f"-i{self.key.absolute()}", "-oIdentitiesOnly=yes", "-oIdentityAgent=none"] if self.key else []
        words += [f"-J{self.jump}"] if self.jump else []
        words += [f"-oUserKnownHostsFile={self.known_hosts.absolute()}"] if self.known_hosts else []
        return shlex.join(words)


def stage(door: Door, parcel: Parcel, say: Say, *, max_mb_per_s: float | None = None) -> Staged:
    """Bring the files there.

    Raises:
        UsageError: rsync is not on both sides.
        NoRoom: they do not fit.
        SiteError, ProgramError: it did not work; what has arrived is kept.
    """
    if shutil.which("rsync") is None:
        raise UsageError(
            "There is no rsync on this machine.", fix="Install it: apt-get install rsync, brew install rsync"
        )
    host = door.host()
    try:
        host.connect()
        return _Staging(door, host, parcel, say, max_mb_per_s).run()
    finally:
        host.close()


class _Staging:
    def __init__(self, door: Door, host: SshHost, parcel: Parcel, say: Say, max_mb_per_s: float | None) -> None:
        self.door, self.host, self.say, self.max_mb_per_s = door, host, say, max_mb_per_s
        self.source, self.target = parcel
        self.beside = self.target / STAGING
        self.sizes = {item.path: item.size_bytes for item in self.source.items}

    def run(self) -> Staged:
        if self._tell("command -v rsync >/dev/null && command -v sha256sum >/dev/null || echo none"):
            raise UsageError(
                "There is no rsync, or no sha256sum, on the machine.", where=self.host.name,
                fix="Ask the site for its node for data, or load the module that has it in your ~/.bashrc.",
            )  # fmt: skip
        hashes = self._hashes_here()
        wanted = sorted(set(self.sizes) - self._right(self.target, hashes, self.sizes))
        sent_bytes = 0
        for _ in range(TRIES):
            if wanted:
                sent_bytes += self._bring(wanted, hashes)
                wanted = sorted(set(wanted) - self._place(wanted, hashes))
        if wanted:
            self._refuse(wanted)
        return Staged(len(self.sizes), self.source.size_bytes, sent_bytes)

    def _bring(self, wanted: list[str], hashes: dict[str, str]) -> int:
        """Send what is not in the folder beside yet; how many bytes travelled."""
        try:
            self.host.make_dirs(self.beside)
        except OSError as error:
            raise SiteError(
                f"the folder cannot be made: {error.strerror}", where=f"{self.host.name}:{self.target}",
                fix="Choose one that you may write to.",
            ) from error  # fmt: skip
        self._script(_SHORTEN, self.beside, self._lines(wanted))
        full = self._whole(self.beside, wanted)
        self._script(_REMOVE, self.beside, [name for name in full if full[name] != hashes[name]])
        lacking = [name for name in wanted if full.get(name) != hashes[name]]
        self._require_room(sum(self.sizes[name] for name in lacking))
        return self._rsync(lacking) if lacking else 0

    def _place(self, wanted: list[str], hashes: dict[str, str]) -> set[str]:
        right = self._right(self.beside, hashes, wanted)
        self._script(_PLACE, self.target, sorted(right))
        return right

    def _refuse(self, wrong: list[str]) -> None:
        path = self.source.root / wrong[0]
        changed = not path.is_file() or path.stat().st_size != self.sizes[wrong[0]]
        what = "changed while it was staged" if changed else "did not arrive as it is here"
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise SiteError(f"{wrong[0]} {what}{more}; it is not put in place", where=str(path), fix=AGAIN)

    def _hashes_here(self) -> dict[str, str]:
        found, done = {}, 0
        for item in self.source.items:
            self.say("reading here", done, self.source.size_bytes)
            found[item.path] = hash_file(self.source.root / item.path).sha256
            done += item.size_bytes
        return found

    def _right(self, folder: PurePosixPath, hashes: dict[str, str], names: Iterable[str]) -> set[str]:
        return {name for name, sha256 in self._whole(folder, names).items() if sha256 == hashes[name]}

    def _whole(self, folder: PurePosixPath, names: Iterable[str]) -> dict[str, str]:
        """Hashes of those files in a folder there that have the size they should have."""
        self.say("checking there", 0, 0)
        told = self._script(_LOOK, folder, self._lines(names))
        rows = (row.partition("  ") for row in told.split("\0") if row)
        return {name: sha256 for sha256, _, name in rows}

    def _lines(self, names: Iterable[str]) -> list[str]:
        return [f"{self.sizes[name]} {name}" for name in names]

    def _require_room(self, needed_bytes: int) -> None:
        rows = self.host.run(["df", "-Pk", str(self.beside)]).stdout.splitlines()
        cells = rows[-1].split() if rows else []
        free_bytes = int(cells[3]) * 1024 if len(cells) > 5 and cells[3].isdigit() else None
        if free_bytes is not None and free_bytes < needed_bytes:
            raise NoRoom(
                f"{format_bytes(needed_bytes)} are to be sent, and {format_bytes(free_bytes)} are free there",
                where=f"{self.host.name}:{self.target}", fix="Make room, or choose another folder.",
            )  # fmt: skip

    def _rsync(self, names: list[str]) -> int:
        total = sum(self.sizes[name] for name in names)
        limit = [f"--bwlimit={max(1, round(self.max_mb_per_s * 1e6 / 1024))}"] if self.max_mb_per_s else []
        with tempfile.NamedTemporaryFile(prefix="hanse-stage-") as listed:
            listed.write("\0".join(names).encode(errors="surrogateescape") + b"\0")
            listed.flush()
            command = [
                "rsync", "--times", "--chmod=u+rw", "--copy-links", "--protect-args", "--partial", "--append-verify",
                "--from0", f"--files-from={listed.name}", "--info=progress2,stats2", "--no-human-readable", *limit,
                "-e", self.door.ssh(), f"{self.source.root}/", f"{self.door.login}:{self.beside}/",
            ]  # fmt: skip
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=os.environ | {"LC_ALL": "C"},
            ) as process:  # fmt: skip
                said, sent = "", 0
                try:
                    for line in _lines_of(process):
                        if found := re.match(r"\s*(\d+)\s+\d+%", line):
                            self.say("sending", int(found[1]), total)
                        elif found := re.match(r"Literal data: (\d+)", line):
                            sent = int(found[1])
                    assert process.stderr is not None
                    said = process.stderr.read().decode(errors="replace")
                finally:
                    process.terminate() if process.poll() is None else None
        if process.returncode:
            raise _failure(process.returncode, said, f"{self.host.name}:{self.target}")
        return sent

    def _script(self, script: str, folder: PurePosixPath, lines: list[str]) -> str:
        """A shell script there, with a folder as its argument and lines to read."""
        if not lines:
            return ""
        content = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
        done = self.host.run(
            ["sh", "-c", script, "sh", str(folder)], input=content,
            timeout_s=600 + self.source.size_bytes / SLOWEST_HASH_BYTES_PER_S,
        )  # fmt: skip
        if done.returncode:
            words = " ".join(done.stderr.split())[:300] or "it said nothing"
            raise SiteError(f"a command there failed: {words}", where=f"{self.host.name}:{folder}", fix=AGAIN)
        return done.out.decode(errors="surrogateescape")

    def _tell(self, line: str) -> str:
        return self.host.run(["sh", "-c", line]).stdout.strip()


def _lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """What it prints, as it comes: rsync ends a line of progress by a carriage return."""
    assert process.stdout is not None
    rest = b""
    while block := os.read(process.stdout.fileno(), 1 << 16):
        *whole, rest = re.split(rb"[\r\n]", rest + block)
        yield from (line.decode(errors="replace") for line in whole)


def _failure(code: int, said: str, where: str) -> Exception:
    """What rsync(1) lists as its exit values, in what is to be done about them."""
    words = tuple(line for line in said.splitlines() if line.strip())[:4]
    if "No space left" in said or "quota exceeded" in said.lower():
        return NoRoom("the disk there is full", where=where, fix=f"Make room. {AGAIN}")
    if code in (10, 12, 20, 30, 35, 255) or code < 0:
        return ProgramError("The connection was cut while files were sent.", where=where, fix=AGAIN, history=words)
    return ProgramError(f"rsync ended with {code}.", where=where, fix=AGAIN, history=words)
