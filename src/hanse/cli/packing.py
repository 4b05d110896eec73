"""One relocatable bundle for nodes without internet: code, wheels for that machine, an installer, checksums.

Torch is never packed: the site's image brings the one built for its accelerators and network. An empty wheel stands in
for it while pip resolves the rest, so that nothing that only torch needs (nvidia-*, triton) is drawn in.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hanse.cli import packing_files
from hanse.cli.output import ProgramError
from hanse.contracts.errors import UsageError
from hanse.contracts.units import format_bytes

if TYPE_CHECKING:
    from hanse.contracts.machine import Machine
    from hanse.contracts.spec import TrainSpec

ARM: Final = re.compile(r"\b(aarch64|arm64|GH200|GB200|GB300|Grace)\b", re.IGNORECASE)
OLDEST_GLIBC: Final = (2, 28)
"""Of RHEL 8 and its kin, the oldest that a EuroHPC machine runs; taken where the machine is not this one."""
SITES_OWN: Final = frozenset({"torch", "torchvision", "torchaudio", "triton", "pytorch-triton", "pytorch-triton-rocm"})
STAND_IN_TORCH: Final = "2.8.0"


class Target(NamedTuple):
    """What wheels must be fit for."""

    architecture: str
    glibc: tuple[int, int]
    python: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """pip's names of all platforms whose wheels run there, newest first."""
        newest = self.glibc[1]
        names = [f"manylinux_2_{minor}_{self.architecture}" for minor in range(newest, 4, -1)]
        return (*names, f"manylinux2014_{self.architecture}", f"linux_{self.architecture}")

    def pip_arguments(self) -> list[str]:
        version = self.python.replace(".", "")
        platforms = [part for name in self.platforms for part in ("--platform", name)]
        abis = [part for abi in (f"cp{version}", "abi3", "none") for part in ("--abi", abi)]
        return ["--only-binary=:all:", "--python-version", self.python, "--implementation", "cp", *abis, *platforms]


class Pack(NamedTuple):
    path: Path
    target: Target
    wheels: tuple[str, ...]
    left_out: tuple[str, ...]
    """What was asked for and is not in it, each with the reason."""
    size_bytes: int


def target_of(machine: Machine, python: str | None) -> Target:
    """From the machine's facts; what they do not tell is taken from this machine if it is meant, else the oldest."""
    import platform

    from hanse.machines.local import LOCAL_ID

    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if python is not None and not re.fullmatch(r"3\.\d+", python):
        raise UsageError(f"{python} is no version of Python", where="--python", fix="For instance: --python 3.12")
    if machine.id == LOCAL_ID:
        numbers = re.findall(r"\d+", platform.libc_ver()[1]) or OLDEST_GLIBC
        return Target(platform.machine(), (int(numbers[0]), int(numbers[1])), python or here)
    arm = ARM.search(" ".join((machine.accelerator.name, *machine.notes)))
    return Target("aarch64" if arm else "x86_64", OLDEST_GLIBC, python or here)


def requirements_of(folder: Path) -> list[str]:
    """What the project beside train.yaml says it needs: requirements.txt, else pyproject.toml, else nothing."""
    import tomllib

    listed = folder / "requirements.txt"
    if listed.is_file():
        lines = (line.split(" #")[0].strip() for line in listed.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line and not line.startswith("#")]
    project = folder / "pyproject.toml"
    if project.is_file():
        try:
            return [str(each) for each in tomllib.loads(project.read_text()).get("project", {}).get("dependencies", [])]
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"it cannot be read: {error}", where=str(project)) from error
    return []


def make(spec: TrainSpec, spec_path: Path, target: Target, out: Path) -> Pack:
    """Write the bundle.

    Raises:
        UsageError: a requirement cannot be read.
        ProgramError: pip finds no wheels for that machine; its last words say which.
    """
    from hanse.cli import bundle

    folder = spec_path.resolve().parent
    asked, left_out = _without_sites_own(requirements_of(folder))
    code = bundle.make(spec, spec_path)
    with tempfile.TemporaryDirectory(prefix="hanse-pack-") as scratch:
        root = Path(scratch) / "pack"
        wheels = root / "wheels"
        wheels.mkdir(parents=True)
        hanse = packing_files.hanse_wheel(wheels)
        chosen, dropped = _resolve(hanse, asked, target, Path(scratch))
        left_out = list(dict.fromkeys(left_out + dropped))
        _download(chosen, target, wheels)
        with tarfile.open(fileobj=_as_file(code.data), mode="r:gz") as archive:
            archive.extractall(root / "code", filter="data")
        facts = {"architecture": target.architecture, "glibc": list(target.glibc), "python": target.python,
                 "left_out": left_out, "spec": spec_path.name}  # fmt: skip
        (root / "pack.json").write_text(json.dumps(facts, indent=2) + "\n")
        packing_files.write_scripts(root, target)
        packing_files.write_manifest(root)
        names = tuple(sorted(path.name for path in wheels.iterdir()))
        _archive(root, out)
    left_out += [f"{name} ({format_bytes(size)}): too large for code" for name, size in code.too_big]
    return Pack(out, target, names, tuple(dict.fromkeys(left_out)), out.stat().st_size)


def _without_sites_own(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    kept, left = [], []
    for line in lines:
        try:
            name = canonicalize_name(Requirement(line).name)
        except InvalidRequirement as error:
            raise UsageError(
                f"the requirement {line!r} cannot be packed", where="requirements",
                fix="Name packages with versions (numpy>=2); options and paths of pip are not taken.",
            ) from error  # fmt: skip
        if _is_sites_own(name):
            left.append(f"{name}: the site's image brings it")
        else:
            kept.append(line)
    return kept, left


def _is_sites_own(name: str) -> bool:
    return name in SITES_OWN or name.startswith("nvidia-")


def _resolve(hanse: Path, asked: list[str], target: Target, scratch: Path) -> tuple[list[str], list[str]]:
    """name==version of all that is needed, and what only the site can bring."""
    stand_ins = scratch / "stand-ins"
    stand_ins.mkdir()
    version = f"{packing_files.torch_version() or STAND_IN_TORCH}+site"
    packing_files.empty_wheel(stand_ins, "torch", version)
    (scratch / "constraints.txt").write_text(f"torch=={version}\n")
    report = scratch / "report.json"
    _pip(
        "install", "--dry-run", "--quiet", "--ignore-installed", "--report", str(report), "--target",
        str(scratch / "nowhere"), "--find-links", str(stand_ins), "--constraint", str(scratch / "constraints.txt"),
        *target.pip_arguments(), f"{hanse}[train]", *asked,
    )  # fmt: skip
    found = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    names = {each["name"].lower(): each["version"] for each in found if each["name"] != "hanse"}
    dropped = [f"{name}: the site's image brings it" for name in sorted(names) if _is_sites_own(name)]
    return [f"{name}=={version}" for name, version in sorted(names.items()) if not _is_sites_own(name)], dropped


def _download(chosen: list[str], target: Target, wheels: Path) -> None:
    _pip("download", "--quiet", "--no-deps", "--dest", str(wheels), *target.pip_arguments(), *chosen)


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-3:]
        raise ProgramError(
            "pip found no set of wheels for that machine.", where="hanse pack",
            fix="Ask for versions that have wheels for it, or build those in the site's image.",
            history=tuple(said[:5]),
        )  # fmt: skip


def _as_file(data: bytes) -> tempfile.SpooledTemporaryFile[bytes]:
    file = tempfile.SpooledTemporaryFile(max_size=len(data) + 1)  # noqa: SIM115 - closed with the archive's reader
    file.write(data)
    file.seek(0)
    return file


def _archive(root: Path, out: Path) -> None:
    draft = out.with_name(f".{out.name}.part")
    name = out.name.removesuffix(".gz").removesuffix(".tar")
    try:
        with tarfile.open(draft, "w:gz", compresslevel=1) as archive:
            archive.add(root, arcname=name)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
