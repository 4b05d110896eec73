"""What was published of a run, and how its model did in evaluations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.contracts.base import Bytes, Contract, Count, Identifier, Sha256, Timestamp


class EvaluationScore(Contract):
    """One metric of one task, as the tool wrote it."""

    task: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    value: float = Field(allow_inf_nan=False)
    error: float | None = Field(None, allow_inf_nan=False)
    """Standard error, where the tool gives one."""
    variant: str = ""
    """lm-eval's filter, or Inspect's scorer."""
    shots: Count | None = None
    samples: Count | None = None


class Evaluation(Contract):
    """One file of results, read. COMPL-AI 2 runs on Inspect and writes its logs."""

    schema_version: Literal[1] = 1
    tool: Literal["lm-eval", "inspect"]
    tool_version: str = ""
    model: str = ""
    """As the tool was told."""
    made_at: Timestamp | None = None
    scores: tuple[EvaluationScore, ...] = Field(min_length=1)
    sha256: Sha256
    """Of the file it was read from."""


class ReleaseFile(Contract):
    path: str
    sha256: Sha256
    size_bytes: Bytes


class Release(Contract):
    """A published folder: what it holds, under which licence, and the record it was made from."""

    schema_version: Literal[1] = 1
    run_id: Identifier
    name: str
    version: str
    licence: str = Field(min_length=1)
    """Its SPDX identifier."""
    datasets: tuple[str, ...]
    """Those really read."""
    parameters: Count
    files: tuple[ReleaseFile, ...] = Field(min_length=1)
    record_sha256: Sha256
    url: str = Field("", pattern=r"^(https://|$)")
    """Where the folder was put, if anywhere yet."""
    made_at: Timestamp
