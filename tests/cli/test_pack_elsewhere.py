"""A pack for other processors, made here without a registry: its wheels by their tags, what it says, who refuses it."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.tags import parse_tag
from packaging.utils import parse_wheel_filename

from hanse.cli import packing, packing_files
from hanse.cli.machine import resolve
from tests.cli.conftest import Hanse

OTHER = "aarch64" if platform.machine() != "aarch64" else "x86_64"
MACHINE = "jupiter-booster" if OTHER == "aarch64" else "leonardo-booster"


def wheel(folder: Path, name: str, version: str, tag: str, *needs: str) -> None:
    """One that installs nothing, for the platform its name says."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    files = {
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\n"
        + "".join(f"Tag: {each}\n" for each in sorted(map(str, parse_tag(tag)))),
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that hanse itself needs, as pure wheels, and some that are built for several platforms."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    with zipfile.ZipFile(packing_files.hanse_wheel(tmp_path)) as archive:
        (told,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    needs = re.findall(r"^Requires-Dist: ([A-Za-z0-9._-]+)(?:\[.*?\])?([^;\n]*)(.*)$", told, re.MULTILINE)
    for name, asked, marker in needs:
        if ("extra" in marker and "train" not in marker) or name == "torch":
            continue
        (least,) = re.findall(r">=([\d.]+)", asked) or ["1.0"]
        wheel(folder, name.replace("-", "_"), least, "py3-none-any")
    for machine in ("aarch64", "x86_64"):
        wheel(folder, "fast", "1.0", f"cp312-cp312-manylinux_2_17_{machine}.manylinux2014_{machine}")
        wheel(folder, "fast", "2.0", f"cp312-cp312-manylinux_2_28_{machine}", "torch>=2", "plain")
        wheel(folder, "fast", "3.0", f"cp312-cp312-manylinux_2_34_{machine}")
        wheel(folder, "fast", "4.0", f"cp313-cp313-manylinux_2_28_{machine}")
        wheel(folder, "stable", "1.0", f"cp39-abi3-manylinux2014_{machine}")
    mine = platform.machine()
    wheel(folder, "homebound", "1.0", f"cp312-cp312-manylinux_2_28_{mine}")
    wheel(folder, "plain", "1.0", "py3-none-any", 'nvidia-nothing; extra == "gpu"')
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.yaml").write_text('name: mine\ncommand: {run: "python work.py"}\nwhere: {max_gpu_hours: 1}\n')
    (folder / "requirements.txt").write_text("fast\nstable\ntorch\n")
    return folder


@pytest.mark.timeout(300)
def test_wheels_for_another_architecture_are_chosen_by_their_tags_and_the_pack_says_what_it_is_for(
    wheelhouse: Path, project: Path, tmp_path: Path, hanse: Hanse
) -> None:
    out = tmp_path / "pack.tar.gz"
    said = hanse("pack", str(project / "train.yaml"), "-m", MACHINE, "--python", "3.12", "--out", str(out))
    assert said.code == 0, said.err
    assert f"wheels for {OTHER}, Python 3.12, glibc 2.28 or newer" in said.out
    with tarfile.open(out) as archive:
        archive.extractall(tmp_path / "there", filter="data")
    pack = tmp_path / "there" / "pack"
    found = {str(name): (str(version), tags) for name, version, _, tags in map(_named, (pack / "wheels").iterdir())}
    assert found["fast"][0] == "2.0", "3.0 needs a newer glibc, 4.0 another Python"
    assert {"hanse", "stable", "plain"} <= set(found) and not {"torch", "triton"} & set(found)
    for _, tags in found.values():
        assert all(tag.platform == "any" or tag.platform.endswith(OTHER) for tag in tags)
    told = json.loads((pack / "pack.json").read_text())
    assert (told["architecture"], told["glibc"], told["python"]) == (OTHER, [2, 28], "3.12")
    assert told["left_out"] == ["torch: the site's image brings it"]
    mine = f"3.{sys.version_info[1]}"
    if mine == "3.12":
        return
    done = subprocess.run(["sh", str(pack / "install.sh"), sys.executable], capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"for {OTHER}, and this machine is {platform.machine()}" in done.stderr
    assert not (pack / ".venv").exists()


def _named(path: Path) -> tuple[object, ...]:
    return parse_wheel_filename(path.name)


@pytest.mark.timeout(300)
def test_a_wheel_that_is_not_built_for_the_machine_is_refused_with_its_name(
    wheelhouse: Path, project: Path, tmp_path: Path, hanse: Hanse
) -> None:
    (project / "requirements.txt").write_text("homebound\n")
    out = tmp_path / "pack.tar.gz"
    said = hanse("pack", str(project / "train.yaml"), "-m", MACHINE, "--python", "3.12", "--out", str(out))
    assert said.code == 1 and said.err.count("Error:") == 1 and "homebound" in said.err
    assert "build those in the site's image" in said.err and not out.exists()


def test_an_older_glibc_refuses_a_pack_before_anything_is_installed(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    packing_files.hanse_wheel(tmp_path / "wheels")
    packing_files.write_scripts(tmp_path, packing.Target(platform.machine(), (9, 1), f"3.{sys.version_info[1]}"))
    packing_files.write_manifest(tmp_path)
    done = subprocess.run(["sh", str(tmp_path / "install.sh"), sys.executable], capture_output=True, text=True)
    assert done.returncode == 2 and "glibc 9.1 or newer" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv").exists()


SECTION = re.compile(r"%(\w+)\s*$")


def sections(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Header and sections of an Apptainer definition, as its documentation has them."""
    header: dict[str, str] = {}
    bodies: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if found := SECTION.match(line):
            current = bodies.setdefault(found[1], [])
        elif current is not None:
            current.append(line)
        elif line.strip() and not line.startswith("#"):
            key, colon, value = line.partition(":")
            assert colon and value.strip(), line
            header[key.strip()] = value.strip()
    return header, bodies


@pytest.mark.parametrize("kind", ["cuda", "rocm", "cpu", "tpu"])
def test_a_definition_has_a_header_and_known_sections_and_no_hole(kind: str) -> None:
    header, bodies = sections(packing_files.definition(kind, "mine-lumi-g.tar.gz"))
    assert header["Bootstrap"] == "docker" and re.fullmatch(r"[\w./:-]+", header["From"])
    assert list(bodies) == ["files", "post", "environment", "runscript"]
    assert bodies["files"][0].split() == ["mine-lumi-g.tar.gz", "/opt/pack.tar.gz"]
    text = "\n".join(line for body in bodies.values() for line in body)
    assert "{" not in text and "}" not in text and "None" not in text
    for name in ("post", "environment", "runscript"):
        checked = subprocess.run(["sh", "-n"], input="\n".join(bodies[name]), text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr


def test_a_site_s_own_image_is_not_looked_for_in_a_registry() -> None:
    header, _ = sections(packing_files.definition("cuda", "p.tar.gz", image="/images/site.sif"))
    assert header == {"Bootstrap": "localimage", "From": "/images/site.sif"}


@pytest.mark.parametrize("name", ["my pack.tar.gz", "a\nb.tar.gz", "{x}.tar.gz"])
def test_a_file_name_that_a_definition_cannot_hold_is_refused_before_the_work(
    name: str, project: Path, tmp_path: Path, hanse: Hanse
) -> None:
    said = hanse("pack", str(project / "train.yaml"), "--apptainer", "--out", str(tmp_path / name))
    assert said.code == 2 and "definition" in said.err and not (tmp_path / name).exists()


def test_the_machines_of_the_catalogue_are_packed_for_their_own_processors() -> None:
    assert packing.target_of(resolve("jupiter-booster"), "3.12").architecture == "aarch64"
    assert packing.target_of(resolve("lumi-g"), "3.12").architecture == "x86_64"
