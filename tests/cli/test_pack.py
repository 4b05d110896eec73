"""A pack for nodes without internet: right wheels, no torch of its own, installs offline, refuses what is damaged."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hanse.cli import packing, packing_files
from hanse.cli.machine import resolve
from hanse.contracts.errors import UsageError
from tests.cli.conftest import Hanse

OFFLINE = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "PIP_NO_INDEX": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.yaml").write_text('name: mine\ncommand: {run: "python work.py"}\nwhere: {max_gpu_hours: 1}\n')
    (folder / "work.py").write_text("print('works')\n")
    return folder


def install(pack: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(pack / "install.sh"), python], env=OFFLINE, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(900)
def test_a_pack_installs_offline_sees_the_sites_torch_and_may_be_moved(
    project: Path, tmp_path: Path, hanse: Hanse
) -> None:
    (project / "requirements.txt").write_text("torch>=2  # ours\naccelerate\n\n# no more\n")
    out = tmp_path / "pack.tar.gz"
    said = hanse("pack", str(project / "train.yaml"), "--out", str(out), "--apptainer")
    assert said.code == 0 and "Left out: torch: the site's image brings it" in said.err
    assert "pack.tar.gz /opt/pack.tar.gz" in (tmp_path / "pack.def").read_text()
    with tarfile.open(out) as archive:
        archive.extractall(tmp_path / "there", filter="data")
    pack = tmp_path / "there" / "pack"
    wheels = [path.name for path in (pack / "wheels").iterdir()]
    assert any(name.startswith("accelerate-") for name in wheels)
    assert not [name for name in wheels if name.startswith(("torch", "nvidia", "triton"))]
    done = install(pack)
    assert done.returncode == 0, done.stderr
    moved = tmp_path / "elsewhere"
    shutil.move(pack, moved)
    python = str(moved / ".venv" / "bin" / "python")
    see = "import torch, hanse.training.main, hanse; print(hanse.__file__)"
    version = subprocess.run([python, "-m", "hanse", "--version"], env=OFFLINE, capture_output=True, text=True)
    assert version.stdout.startswith("hanse "), version.stderr
    trainer = subprocess.run([python, "-c", see], env=OFFLINE, capture_output=True, text=True, cwd="/")
    assert trainer.stdout.startswith(str(moved)), trainer.stderr


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A pack without wheels to download: what the scripts do is the same."""
    root = tmp_path / "small"
    (root / "wheels").mkdir(parents=True)
    packing_files.hanse_wheel(root / "wheels")
    packing_files.write_scripts(root, packing.Target(platform.machine(), (2, 17), f"3.{sys.version_info[1]}"))
    packing_files.write_manifest(root)
    return root


@pytest.mark.parametrize("what", ["changed", "missing", "no manifest"])
def test_a_damaged_pack_is_refused_with_one_message_and_installs_nothing(small: Path, what: str) -> None:
    (wheel,) = (small / "wheels").iterdir()
    if what == "changed":
        wheel.write_bytes(wheel.read_bytes() + b"x")
    elif what == "missing":
        wheel.unlink()
    else:
        (small / "MANIFEST.sha256").unlink()
    done = install(small)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "this pack is damaged" in done.stderr and not (small / ".venv").exists()


def test_a_pack_for_other_processors_is_refused_in_words(tmp_path: Path, small: Path) -> None:
    packing_files.write_scripts(small, packing.Target("riscv64", (2, 17), f"3.{sys.version_info[1]}"))
    (small / "MANIFEST.sha256").unlink()
    packing_files.write_manifest(small)
    done = install(small)
    assert done.returncode == 2 and "this pack is for riscv64" in done.stderr


def test_the_wheels_asked_for_are_those_of_the_machine() -> None:
    arm = packing.target_of(resolve("jupiter-booster"), "3.12")
    assert (arm.architecture, arm.glibc, arm.python) == ("aarch64", (2, 28), "3.12")
    assert all(name.endswith("_aarch64") for name in arm.platforms)
    assert "cp312" in arm.pip_arguments()
    assert packing.target_of(resolve("leonardo-booster"), None).architecture == "x86_64"
    assert packing.target_of(resolve("local"), None).architecture == platform.machine()
    with pytest.raises(UsageError, match="no version of Python"):
        packing.target_of(resolve("local"), "python3")


def test_requirements_come_from_the_project_and_odd_ones_are_refused(project: Path) -> None:
    assert packing.requirements_of(project) == []
    (project / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["numpy>=2"]\n')
    assert packing.requirements_of(project) == ["numpy>=2"]
    (project / "requirements.txt").write_text("einops  # small\n# none\n")
    assert packing.requirements_of(project) == ["einops"]
    with pytest.raises(UsageError, match="cannot be packed"):
        packing._without_sites_own(["-r other.txt"])


def test_hanse_packs_itself_as_a_wheel_with_its_needs(tmp_path: Path) -> None:
    with zipfile.ZipFile(packing_files.hanse_wheel(tmp_path)) as wheel:
        names = wheel.namelist()
        (told,) = (wheel.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert "hanse/training/main.py" in names and "Requires-Dist: pydantic" in told
    assert not [name for name in names if "__pycache__" in name]


def test_a_definition_starts_from_an_image_for_the_accelerator() -> None:
    assert "From: rocm/" in packing_files.definition("rocm", "p.tar.gz")
    assert "From: site.sif" in packing_files.definition("cuda", "p.tar.gz", image="site.sif")
