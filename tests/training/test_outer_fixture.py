"""Outer steps on made-up movements, held against a file: a change of codec, order or formula is a decision.

`WRITE_FIXTURE=true pytest tests/training/test_outer_fixture.py` writes the file anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from hanse.contracts.outer import Codec
from hanse.training.outer import merge
from hanse.training.outer.quantise import decode, encode
from tests.training.federation import agree

FIXTURE = Path(__file__).with_name("fixtures") / "outer-steps.json"
COUNT, OUTER_STEPS = 300, 4
TOKENS = [600, 200]


def made_up(outer_step: int, leg: int) -> np.ndarray:
    """Quotients of small integers that rounding does not leave as they are."""
    at = np.arange(COUNT, dtype=np.float32)
    return np.asarray((at * (leg + 3) + outer_step * 7) % 23 / 7 - 1.5, dtype=np.float32)


def run(codec: Codec) -> list[dict[str, object]]:
    terms, rows = agree(2, codec=codec), []
    weights = np.linspace(-1, 1, COUNT, dtype=np.float32)
    momentum, kept = np.zeros_like(weights), [np.zeros_like(weights) for _ in TOKENS]
    for outer_step in range(OUTER_STEPS):
        sent, payloads = [], []
        for leg in range(len(TOKENS)):
            wanted = made_up(outer_step, leg) + kept[leg]
            payloads.append(encode(wanted, codec))
            sent.append(decode(payloads[leg], COUNT, codec))
            kept[leg] = wanted - sent[leg]
        weights, momentum = merge.stepped(weights, momentum, merge.mean(sent, TOKENS), terms)
        rows.append(
            {
                "payloads_sha256": [merge.sha256(each) for each in payloads],
                "weights_sha256": merge.fingerprint(weights),
                "first_weights": [float(each) for each in weights[:4]],
            }
        )
    return rows


@pytest.mark.parametrize("codec", get_args(Codec))
def test_outer_steps_give_the_very_bits_they_gave_when_the_fixture_was_written(codec: Codec) -> None:
    if os.environ.get("WRITE_FIXTURE") == "true":
        FIXTURE.parent.mkdir(exist_ok=True)
        FIXTURE.write_text(json.dumps({each: run(each) for each in get_args(Codec)}, indent=1) + "\n")
    assert run(codec) == json.loads(FIXTURE.read_text())[codec]
