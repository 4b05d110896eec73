"""What a pack is made of beside downloaded wheels: hanse's own wheel, installer, checksums, container definition."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hanse
from hanse.contracts.errors import UsageError

if TYPE_CHECKING:
    from hanse.cli.packing import Target

INSTALL: Final = """#!/bin/sh
# Makes .venv beside this file, from the wheels here, without any network. The site's torch stays visible in it.
# Usage: sh install.sh [PYTHON]      PYTHON is the site's Python @PYTHON@ that can import torch (default: python3).
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
python="${1:-python3}"
sh "$here/verify.sh"
fail() { echo "Error: $1" >&2; exit 2; }
[ "$(uname -m)" = "@ARCHITECTURE@" ] || fail "this pack is for @ARCHITECTURE@, and this machine is $(uname -m)"
"$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "@PYTHON@")' \\
  || fail "this pack is for Python @PYTHON@; give one: sh install.sh /path/to/python@PYTHON@"
"$python" -c 'import platform, sys
kind, version = platform.libc_ver()
numbers = [int(part) for part in version.split(".")[:2]] if kind == "glibc" else [0, 0]
sys.exit(numbers < [int(part) for part in "@GLIBC@".split(".")])' \\
  || fail "this pack is for glibc @GLIBC@ or newer, and this system's C library is another or older"
rm -rf "$here/.venv"
"$python" -m venv --system-site-packages "$here/.venv"
# A Python that is itself a virtual environment does not hand its packages on: name its folder.
"$python" -c 'import sys, sysconfig
if sys.prefix != sys.base_prefix:
    print(sysconfig.get_path("platlib"))' > "$here/.venv/outer"
into="$("$here/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
mv "$here/.venv/outer" "$into/sites-own.pth"
"$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --ignore-installed \\
  "$here"/wheels/*.whl
"$here/.venv/bin/python" -c 'import torch' 2>/dev/null \\
  || echo "Note: $python has no torch; take the Python of the site's image to train." >&2
echo "Installed. Run: $here/.venv/bin/python -m hanse"
"""

VERIFY: Final = """#!/bin/sh
# Compares every file with MANIFEST.sha256.
cd "$(dirname "$0")" || exit 2
bad="$(sha256sum --check --quiet --strict MANIFEST.sha256 2>/dev/null | head -n 1)"
[ -z "$bad" ] && sha256sum --check --status --strict MANIFEST.sha256 2>/dev/null && exit 0
echo "Error: this pack is damaged (${bad:-MANIFEST.sha256 cannot be read}); copy it again" >&2
exit 2
"""

BASE_IMAGES: Final = {
    "cuda": "nvcr.io/nvidia/pytorch:25.06-py3",
    "rocm": "rocm/pytorch:latest",
    "cpu": "pytorch/pytorch:latest",
}
"""Images with a torch for that kind of accelerator, where the machine's own image is not known."""

APPTAINER: Final = """Bootstrap: {bootstrap}
From: {image}

%files
    {pack} /opt/pack.tar.gz

%post
    mkdir -p /opt/hanse
    tar -xzf /opt/pack.tar.gz -C /opt/hanse --strip-components=1
    rm /opt/pack.tar.gz
    sh /opt/hanse/install.sh python3

%environment
    export PATH=/opt/hanse/.venv/bin:$PATH

%runscript
    exec /opt/hanse/.venv/bin/python -m hanse "$@"
"""


def definition(kind: str, pack: str, image: str | None = None) -> str:
    """An Apptainer definition that installs the pack into an image with torch.

    Raises:
        UsageError: the pack's name or the image cannot stand in one: words there end at blanks.
    """
    base = image or BASE_IMAGES.get(kind, BASE_IMAGES["cpu"])
    for value in (pack, base):
        if not re.fullmatch(r"[\w.:@+/-]+", value):
            raise UsageError(
                "This name cannot stand in a container definition.", where=repr(value),
                fix="Choose a name of letters, digits, '.', '_' and '-'.",
            )  # fmt: skip
    bootstrap = "localimage" if base.endswith(".sif") else "docker"
    return APPTAINER.format(bootstrap=bootstrap, image=base, pack=pack)


def torch_version() -> str | None:
    """The release of the torch that is installed here, without its local part."""
    try:
        return metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def write_scripts(root: Path, target: Target) -> None:
    text = INSTALL.replace("@PYTHON@", target.python).replace("@ARCHITECTURE@", target.architecture)
    text = text.replace("@GLIBC@", ".".join(map(str, target.glibc)))
    (root / "install.sh").write_text(text)
    (root / "verify.sh").write_text(VERIFY)


def write_manifest(root: Path) -> None:
    """Of every file, in the form `sha256sum --check` reads."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    (root / "MANIFEST.sha256").write_text("".join(lines))


def hanse_wheel(folder: Path) -> Path:
    """This very hanse as a wheel, whether it was installed or runs from its source."""
    package = Path(hanse.__file__).parent
    files = {
        f"hanse/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    told = metadata.metadata("hanse")
    needs = told.get_all("Requires-Dist") or []
    extras = told.get_all("Provides-Extra") or []
    lines = [f"Requires-Python: {told['Requires-Python']}", *(f"Provides-Extra: {extra}" for extra in extras)]
    return _wheel(folder, "hanse", hanse.__version__, [*lines, *(f"Requires-Dist: {need}" for need in needs)], files)


def empty_wheel(folder: Path, name: str, version: str) -> Path:
    """A package of that name with nothing in it and no needs: it stands for what is already there."""
    return _wheel(folder, name, version, [], {})


def _wheel(folder: Path, name: str, version: str, headers: list[str], files: dict[str, bytes]) -> Path:
    info = f"{name}-{version}.dist-info"
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers]) + "\n"
    tags = "Wheel-Version: 1.0\nGenerator: hanse\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = files | {f"{info}/METADATA": text.encode(), f"{info}/WHEEL": tags.encode()}
    if name == "hanse":
        files[f"{info}/entry_points.txt"] = b"[console_scripts]\nhanse = hanse.cli.main:main\n"
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in files.items():
            archive.writestr(zipfile.ZipInfo(entry), data, zipfile.ZIP_DEFLATED)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
