"""The examples people start from: each is a valid spec, and the small ones run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hanse.training.count import count
from hanse.workloads import shapes
from hanse.workloads.load import load_spec
from hanse.workloads.schema import schema_text

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in EXAMPLES.glob("*/train.yaml")))
def test_an_example_is_a_spec_that_teaches(folder: str) -> None:
    path = EXAMPLES / folder / "train.yaml"
    # What the fine-tuning begins from is made by its own first step.
    spec = load_spec(path if folder != "lora" else path.with_name("base.yaml"), check_files=False)
    assert spec.name == {"own_model": "own-loop", "lora": "sums"}.get(folder, folder)
    first, *lines = path.read_text().splitlines()
    assert first == "# yaml-language-server: $schema=train.schema.json"
    assert (path.parent / "train.schema.json").read_text() == schema_text(), "run: make schemas"
    assert max(map(len, lines)) <= 120


def test_the_language_model_is_small_and_its_tokenizer_fits_it() -> None:
    spec = load_spec(EXAMPLES / "stdlib-lm" / "train.yaml")
    shape = shapes.model_shape(spec)
    assert shape is not None and shapes.parameters(shape) < 3e6 and spec.tokenizer.vocab == shape.vocab
    assert spec.data[0].licence == "PSF-2.0" and spec.where.nodes == 2


@pytest.mark.torch
def test_parameters_of_the_own_model_are_counted_for_the_planner() -> None:
    width, vocab = 96, 512
    gru = 2 * (3 * width * width) + 2 * 3 * width
    assert count(EXAMPLES / "own-model" / "train.yaml") == vocab * width + gru + width * vocab + vocab


def test_the_command_knows_its_node() -> None:
    spec = load_spec(EXAMPLES / "any-command" / "train.yaml")
    assert spec.command is not None
    environment = {**os.environ, "HANSE_NODE_RANK": "1", "HANSE_NODES": "2"}
    line = spec.command.run.replace("python3", sys.executable).replace("2000000", "20000")
    done = subprocess.run(
        ["bash", "-c", line], cwd=EXAMPLES / "any-command", env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith("node 1 of 2: pi is about 3.1")
