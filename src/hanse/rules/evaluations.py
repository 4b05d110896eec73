"""Results of evaluations as tools write them: lm-eval's results file and Inspect's log (COMPL-AI 2 runs on Inspect).

Layouts as seen in public files: lm-evaluation-harness 0.4 (`results` by task with keys `metric,filter`, `n-shot`,
`n-samples`), Inspect log version 2 (`eval.task`, `results.scores[].metrics`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hanse.contracts.errors import SpecError
from hanse.contracts.release import Evaluation, EvaluationScore

_FIX: Final = "Give lm-eval's results_….json, or a log of Inspect as JSON (inspect log convert --to json)."
_LARGEST_BYTES: Final = 64 * 1024 * 1024


def read(data: bytes, *, where: str) -> Evaluation:
    """The results in a file. Raises SpecError naming `where` for what is no such file, or has no figure in it."""
    if len(data) > _LARGEST_BYTES:
        raise SpecError("this file is larger than 64 MiB", where=where, fix="Leave the samples out of it.")
    try:
        raw = json.loads(data)
    except ValueError:
        raise SpecError("this is not JSON", where=where, fix=_FIX) from None
    if not isinstance(raw, dict):
        raise SpecError("this holds no results", where=where, fix=_FIX)
    inspect = isinstance(raw.get("eval"), dict)
    if inspect and raw.get("status") != "success":
        raise SpecError(
            f"this evaluation ended as {raw.get('status', 'unknown')!r}", where=where, fix="Run it to its end."
        )
    try:
        scores = tuple(_of_inspect(raw) if inspect else _of_lm_eval(raw))
        made_at = _moment(raw["eval"].get("created") if inspect else raw.get("date"))
    except (AttributeError, TypeError, ValueError, KeyError):
        raise SpecError("this is not laid out as results are", where=where, fix=_FIX) from None
    if not scores:
        raise SpecError("there is no figure in it", where=where, fix=_FIX)
    return Evaluation(
        tool="inspect" if inspect else "lm-eval",
        tool_version=_version(raw, inspect=inspect),
        model=str((raw["eval"] if inspect else _dict(raw.get("config"))).get("model") or raw.get("model_name") or ""),
        made_at=made_at,
        scores=scores,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _of_lm_eval(raw: Mapping[str, Any]) -> Iterator[EvaluationScore]:
    shots, samples = _dict(raw.get("n-shot")), _dict(raw.get("n-samples"))
    for task, told in _dict(raw.get("results")).items():
        for key, value in _dict(told).items():
            metric, _, variant = key.partition(",")
            if metric.endswith("_stderr") or not _figure(value):
                continue
            error = told.get(f"{metric}_stderr,{variant}")
            yield EvaluationScore(
                task=task, metric=metric, variant="" if variant == "none" else variant, value=float(value),
                error=float(error) if _figure(error) else None, shots=_count(shots.get(task)),
                samples=_count(_dict(samples.get(task)).get("effective")),
            )  # fmt: skip


def _of_inspect(raw: Mapping[str, Any]) -> Iterator[EvaluationScore]:
    results = _dict(raw.get("results"))
    for score in results.get("scores") or ():
        metrics: dict[str, Any] = {name: _dict(one).get("value") for name, one in _dict(score.get("metrics")).items()}
        for name, value in metrics.items():
            if name == "stderr" or not _figure(value):
                continue
            error: Any = metrics.get("stderr") if len(metrics) == 2 else None  # of which of several is not told
            yield EvaluationScore(
                task=str(raw["eval"]["task"]), metric=name, variant=str(score.get("name") or score.get("scorer") or ""),
                value=float(value), error=float(error) if _figure(error) else None,
                samples=_count(results.get("completed_samples")),
            )  # fmt: skip


def _version(raw: Mapping[str, Any], *, inspect: bool) -> str:
    if inspect:
        return str(_dict(raw["eval"].get("packages")).get("inspect_ai") or "")
    return str(raw.get("lm_eval_version") or raw.get("git_hash") or "")


def _moment(told: object) -> datetime | None:
    """lm-eval writes seconds since 1970, Inspect ISO 8601. None where it says neither."""
    try:
        if isinstance(told, int | float) and not isinstance(told, bool):
            return datetime.fromtimestamp(told, UTC)
        made = datetime.fromisoformat(str(told))
        return made if made.tzinfo else made.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def sentence(one: Evaluation, *, most: int = 12) -> str:
    """Its figures in one line, as documents quote them."""
    shown = "; ".join(_told(score) for score in one.scores[:most])
    more = f"; and {len(one.scores) - most} more" if len(one.scores) > most else ""
    tool = {"lm-eval": "lm-evaluation-harness", "inspect": "Inspect"}[one.tool]
    version = f" {one.tool_version}" if one.tool_version else ""
    return f"{tool}{version}: {shown}{more}."


def _told(score: EvaluationScore) -> str:
    error = f" ± {score.error:.3g}" if score.error is not None else ""
    shots = f", {score.shots}-shot" if score.shots is not None else ""
    variant = f" ({score.variant})" if score.variant else ""
    return f"{score.task} {score.metric}{variant} {score.value:.4g}{error}{shots}"
