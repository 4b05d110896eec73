"""Code bundles: gzipped tars named by their SHA-256, kept as files and checked before they are kept."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any

from django.conf import settings
from django.db import models, transaction

from hanse.contracts import run as contract
from hanse.contracts.errors import UsageError
from hanse.service.access.people import Person
from hanse.service.runs.events import Event

CHUNK_BYTES = 1 << 20
MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 500 * 1024 * 1024
MAX_HEADER_BYTES = 1 << 20
"""Between two members: long names and extended attributes, which tarfile reads into memory whole."""


class CodeBundle(models.Model):
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    size_bytes = models.PositiveBigIntegerField()
    uploaded_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "runs"

    def __str__(self) -> str:
        return self.sha256[:12]

    @staticmethod
    def folder() -> Path:
        folder = Path(settings.SERVICE_FOLDER) / "code"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @property
    def path(self) -> Path:
        return self.folder() / f"{self.sha256}.tar.gz"

    @classmethod
    def receive(cls, stream: IO[bytes], sha256: str, *, by: Person) -> CodeBundle:
        """Store what comes; the same again is harmless.

        Raises:
            UsageError: too large, not what its name says, or no archive of ordinary files.
        """
        with tempfile.NamedTemporaryFile(dir=cls.folder(), prefix=".incoming-", delete=False) as draft:
            path = Path(draft.name)
            try:
                size = _copy(stream, draft, sha256)
                draft.flush()
                _check_members(path)
                path.replace(cls.folder() / f"{sha256}.tar.gz")
            finally:
                path.unlink(missing_ok=True)
        with transaction.atomic():
            bundle, new = cls.objects.get_or_create(sha256=sha256, defaults={"size_bytes": size, "uploaded_by": by})
            if new:
                Event.record("user:code:uploaded", sha256[:16], by=by.username, size_bytes=size, sha256=sha256)
        return bundle

    def contract(self) -> contract.CodeBundle:
        return contract.CodeBundle(sha256=self.sha256, size_bytes=self.size_bytes)


def _copy(stream: IO[bytes], to: Any, sha256: str) -> int:
    size, digest = 0, hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        size += len(chunk)
        if size > settings.CODE_MAX_BYTES:
            raise UsageError(
                f"the archive is larger than {settings.CODE_MAX_BYTES // 2**20} MB",
                where="code",
                fix="keep data and checkpoints out of train.yaml's folder; name them in .hanseignore",
            )
        digest.update(chunk)
        to.write(chunk)
    if digest.hexdigest() != sha256:
        raise UsageError("the archive is not the one its SHA-256 names", where="code", fix="send it again")
    return size


class _Rationed:
    """An unpacked stream of which only so much may be read: a few megabytes can unpack to any size."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.left = stream, MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise UsageError(
                f"between two files of the archive stands more than {MAX_HEADER_BYTES // 2**20} MB", where="code",
                fix="pack it with tar anew",
            )  # fmt: skip
        return data


def _check_members(path: Path) -> None:
    """Only files, folders and links that stay inside, of a size that can be unpacked."""
    count = unpacked = 0
    try:
        with gzip.open(path) as unpacking, tarfile.open(fileobj=(source := _Rationed(unpacking)), mode="r|") as archive:
            for member in archive:
                source.left = member.size + MAX_HEADER_BYTES
                count, unpacked = count + 1, unpacked + member.size
                if count > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
                    raise UsageError(
                        f"the archive holds more than {MAX_MEMBERS:,} files or {MAX_UNPACKED_BYTES // 2**20} MB",
                        where="code",
                        fix="send the code only",
                    )
                # The executors unpack with this same filter; what it refuses should fail here, not in the queue.
                tarfile.data_filter(member, str(PurePosixPath("/code")))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UsageError(f"the archive cannot be unpacked: {error}", where="code", fix="send a tar.gz") from error
