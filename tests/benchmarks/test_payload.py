"""The payload of the chaos benchmark, killed and stopped without a scheduler: each step counts once all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import payload
from hanse.contracts.rundir import RunDir
from hanse.contracts.telemetry import StepSummary
from tests.waiting import until


@pytest.mark.parametrize(("blow", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGUSR1, payload.MORE_TO_DO)])
def test_a_payload_that_is_struck_goes_on_from_its_newest_checkpoint(
    tmp_path: Path, blow: signal.Signals, code: int
) -> None:
    first = begin(tmp_path, 1)
    until(lambda: payload.newest(tmp_path / "payload")[0] >= 3, what="a checkpoint")
    first.send_signal(blow)
    assert first.wait(20) == code
    assert payload.verify(tmp_path, 30), "it is not done yet"
    assert begin(tmp_path, 2).wait(30) == 0
    assert payload.verify(tmp_path, 30) == []
    rows = RunDir(tmp_path).attempt(2).steps.read_text().splitlines()
    assert StepSummary.from_json(rows[-1]).step == 30


def test_a_second_payload_of_a_run_at_work_does_nothing_and_is_found_out(tmp_path: Path) -> None:
    first = begin(tmp_path, 1)
    until(lambda: payload.newest(tmp_path / "payload")[0] >= 3, what="a checkpoint")
    assert begin(tmp_path, 2).wait(20) == payload.DOUBLED
    assert first.wait(30) == 0
    assert payload.verify(tmp_path, 30) == ["doubled-2-job2: two at a time"]


def begin(run: Path, attempt: int) -> subprocess.Popen[bytes]:
    RunDir(run).attempt(attempt).root.mkdir(parents=True)
    environment = {
        **os.environ, "HANSE_RUN_DIR": str(run), "HANSE_ATTEMPT": str(attempt), "HANSE_JOB_ID": f"job{attempt}"
    }  # fmt: skip
    command = [sys.executable, payload.__file__, "--steps", "30", "--step-s", "0.03", "--every", "3"]
    return subprocess.Popen(command, env=environment)
