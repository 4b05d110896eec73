"""The contracts are what other people's files and programs rely on: a change of one is a decision."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.contracts.catalogue import PUBLIC, schema
from hanse.contracts.layout import Layout
from hanse.contracts.run import (
    ATTEMPT_TRANSITIONS,
    FINAL_ATTEMPT_STATES,
    FINAL_RUN_STATES,
    RUN_TRANSITIONS,
    AttemptState,
    RunState,
)
from hanse.contracts.spec import ModelSpec, TrainSpec
from tests.contracts.examples import EXAMPLES

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_schema_changes_only_by_decision(name: str) -> None:
    frozen = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert schema(name) == frozen, "decided on this change? then run: python tools/freeze_schemas.py"


def test_every_frozen_file_belongs_to_a_contract() -> None:
    assert {p.name.removesuffix(".schema.json") for p in SCHEMAS.glob("*.schema.json")} == set(PUBLIC)
    assert {p.stem for p in (SCHEMAS / "examples").glob("*.json")} == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_file_is_read_back_as_it_was_written(name: str) -> None:
    text = (SCHEMAS / "examples" / f"{name}.json").read_text()
    value = PUBLIC[name].from_json(text)
    assert value == EXAMPLES[name]
    assert value.to_json() == text


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_obeys_its_own_schema(name: str) -> None:
    document = json.loads((SCHEMAS / "examples" / f"{name}.json").read_text())
    jsonschema.validate(document, schema(name), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", PUBLIC)
def test_an_unknown_key_is_refused(name: str) -> None:
    document = json.loads(EXAMPLES[name].to_json()) | {"colour": "red"}
    with pytest.raises(ValidationError, match="colour"):
        PUBLIC[name].model_validate(document)


def test_a_digest_depends_on_the_value_and_on_nothing_else() -> None:
    spec = EXAMPLES["train-spec"]
    assert spec.digest() == TrainSpec.from_json(spec.to_json()).digest()
    assert spec.digest() != spec.model_copy(update={"seed": 1}).digest()


def test_every_state_is_reachable_and_final_states_lead_nowhere() -> None:
    for states, table, start in (
        (RunState, RUN_TRANSITIONS, RunState.QUEUED),
        (AttemptState, ATTEMPT_TRANSITIONS, AttemptState.PLANNED),
    ):
        reached = {start}
        while True:
            further = reached | {after for state in reached for after in table[state]}
            if further == reached:
                break
            reached = further
        assert reached == set(states)
    assert all(not RUN_TRANSITIONS[state] for state in FINAL_RUN_STATES)
    assert all(not ATTEMPT_TRANSITIONS[state] for state in FINAL_ATTEMPT_STATES)


def test_a_model_is_named_in_exactly_one_way() -> None:
    with pytest.raises(ValidationError, match="exactly one of preset, shape, config, entry"):
        ModelSpec(preset="llama-3-8b", entry="mine:build", vocab=10, context=8)
    with pytest.raises(ValidationError, match="exactly one"):
        ModelSpec()


@given(*(st.integers(1, 8) for _ in range(6)))
def test_a_layouts_ranks_are_the_product_of_its_degrees(
    dp: int, fsdp: int, tp: int, pp: int, micro: int, acc: int
) -> None:
    layout = Layout(dp=dp, fsdp=fsdp, tp=tp, pp=pp, micro_batch=micro, accumulate=acc)
    assert layout.world_size == dp * fsdp * tp * pp
    assert layout.global_batch == dp * fsdp * micro * acc
