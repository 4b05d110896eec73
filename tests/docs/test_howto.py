"""Every `hanse plan` and `hanse machines` that a how-to page or the README names runs as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hanse.workloads.load import load_spec
from hanse.workloads.shapes import workload_of
from tests.docs.test_docs import DOCS, ROOT, files, run

SPEC = """\
name: own
purpose: Plan it.
model: {preset: llama-3-8b}
data: [{name: stdlib, source: python-stdlib, licence: PSF-2.0}]
batch: 512
tokens: 100B
where: {machines: [leonardo-booster], account: mine, wall_time_s: 1d, max_gpu_hours: 200000, max_attempts: 90}
"""
QWEN = {
    "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936,
    "max_position_embeddings": 40960, "tie_word_embeddings": False,
}  # fmt: skip
PAGES = [ROOT / "README.md", *sorted((DOCS / "how-to").glob("*.md"))]
MEASURED_ELSEWHERE = "hanse machines calibrate"
"""Half a minute of measuring; tests/training and tests/cli do it."""


def named(page: Path) -> list[str]:
    """Whole commands of the page: lines of blocks, and what stands in code within text."""
    lines = re.findall(r"^\s*(?:\$ )?(hanse (?:plan|machines) [^\n]*)$", page.read_text(), re.MULTILINE)
    inline = re.findall(r"`(hanse (?:plan|machines) [^`]+)`", page.read_text())
    return [command.split("  #")[0].strip() for command in (*lines, *inline)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of: a train.yaml, a published configuration, a traced workload."""
    here = tmp_path_factory.mktemp("howto")
    (here / "train.yaml").write_text(SPEC)
    for name, text in files(DOCS / "how-to" / "train-across-machines.md").items():
        (here / name).write_text(text)
    (here / "Qwen3-8B").mkdir()
    (here / "Qwen3-8B" / "config.json").write_text(json.dumps(QWEN))
    (here / "workload.json").write_text(workload_of(load_spec(here / "train.yaml")).to_json())
    return here


@pytest.mark.timeout(300)
def test_every_plan_and_machine_command_of_the_pages_runs(folder: Path) -> None:
    found = dict.fromkeys(command for page in PAGES for command in named(page))
    assert len(found) > 20, "the pages name as many, or the pattern no longer finds them"
    for command in found:
        if command == MEASURED_ELSEWHERE:
            continue
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, command
        own = folder / "my-cluster.yaml"
        if command.endswith(own.name):  # the page says to change what differs; the id has to
            own.write_text(own.read_text().replace('"id": "leonardo-booster"', '"id": "my-cluster"'))
