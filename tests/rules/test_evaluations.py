"""Results of evaluations as two tools write them, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import SpecError
from hanse.rules import evaluations
from hanse.rules.documents import build
from tests.reporting import records

LM_EVAL: dict[str, Any] = {
    "results": {
        "hellaswag": {
            "alias": "hellaswag", "acc,none": 0.31, "acc_stderr,none": 0.004, "acc_norm,none": 0.36,
            "acc_norm_stderr,none": "N/A",
        },
        "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.02, "exact_match_stderr,strict-match": 0.001},
    },
    "n-shot": {"hellaswag": 0, "gsm8k": 5},
    "n-samples": {"hellaswag": {"original": 10042, "effective": 100}},
    "config": {"model": "hf", "model_args": "pretrained=export"},
    "git_hash": "abc123", "date": 1795400000.5, "lm_eval_version": "0.4.9",
}  # fmt: skip
INSPECT: dict[str, Any] = {
    "version": 2, "status": "success",
    "eval": {
        "task": "bbq", "model": "hf/export", "created": "2026-11-23T10:00:00+00:00",
        "packages": {"inspect_ai": "0.3.150"},
    },
    "results": {
        "total_samples": 50, "completed_samples": 50,
        "scores": [{"name": "choice", "scorer": "choice", "metrics": {
            "accuracy": {"name": "accuracy", "value": 0.5}, "stderr": {"name": "stderr", "value": 0.07},
        }}],
    },
}  # fmt: skip


def read(raw: Any) -> Any:
    return evaluations.read(json.dumps(raw).encode(), where="results.json")


def test_lm_eval_s_figures_are_read_with_shots_samples_errors_and_filters() -> None:
    made = read(LM_EVAL)
    assert (made.tool, made.tool_version, made.model, made.made_at.year) == ("lm-eval", "0.4.9", "hf", 2026)
    told = {(one.task, one.metric, one.variant): one for one in made.scores}
    assert set(told) == {
        ("hellaswag", "acc", ""),
        ("hellaswag", "acc_norm", ""),
        ("gsm8k", "exact_match", "strict-match"),
    }
    assert (told["hellaswag", "acc", ""].error, told["hellaswag", "acc_norm", ""].error) == (0.004, None)
    assert (told["hellaswag", "acc", ""].samples, told["gsm8k", "exact_match", "strict-match"].shots) == (100, 5)


def test_inspect_s_log_as_compl_ai_writes_it_is_read() -> None:
    made = read(INSPECT)
    (score,) = made.scores
    assert (made.tool, made.tool_version, score.task, score.value, score.error, score.samples) == (
        "inspect", "0.3.150", "bbq", 0.5, 0.07, 50,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ([], "no results"), ({}, "no figure"), ({"results": {"a": {"alias": "a"}}}, "no figure"),
        ({**INSPECT, "status": "error"}, "ended as 'error'"), ({"results": 3}, "no figure"),
        ({**INSPECT, "results": {"scores": [3]}}, "not laid out"),
        ({"results": {"": {"acc,none": 1.0}}}, "not laid out"),
    ],
)  # fmt: skip
def test_what_holds_no_results_gets_one_clear_message(raw: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says) as refused:
        read(raw)
    assert refused.value.where == "results.json"
    with pytest.raises(SpecError, match="not JSON"):
        evaluations.read(b"{", where="x")


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["results", "eval", "scores", "metrics", "status", "acc,none", "date", "task"]), inner
    ), max_leaves=12,
))  # fmt: skip
def test_no_file_whatever_ends_in_a_raw_error(raw: Any) -> None:
    try:
        made = read(raw)
    except SpecError:
        return
    assert made.scores


def test_results_reach_the_card_and_the_technical_documentation_with_their_place() -> None:
    record = records.finished().model_copy(update={"evaluations": (read(LM_EVAL),)})
    for kind in ("model-card", "technical-documentation", "final-report"):
        found = [one for one in build.make(kind, record, {}).fields if "evaluations" in one.records]
        assert found and "hellaswag acc 0.31 ± 0.004, 0-shot" in found[0].value, kind
    assert records.finished().digest() != record.digest()
    assert b"evaluations" not in records.finished().canonical(), "records of before keep their hash"
