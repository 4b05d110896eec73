"""The examples that train are trained, shortly, as their pages say, and each learns what it is there for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from hanse.contracts.layout import Layout
from hanse.contracts.rundir import RunDir
from hanse.contracts.telemetry import StepSummary, TrainResult
from hanse.workloads.load import load_spec
from tests.training.gang import Trained, together, with_layout
from tests.training.hands import make_job, make_run
from tests.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.torch]


def script(folder: Path, name: str, *words: str) -> str:
    """Run a script of an example; what it said."""
    done = subprocess.run(
        [sys.executable, name, *words], cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


def trained(folder: Path, name: str = "train.yaml", *, tokens: int, ranks: int = 1) -> tuple[TrainResult, RunDir]:
    """What came of an example's run, of so many tokens."""
    spec = load_spec(folder / name).model_copy(update={"tokens": tokens})
    run = make_run(folder / f"run-{spec.name}", spec)
    job = with_layout(make_job(run, folder / "data"), Layout(dp=ranks, micro_batch=(spec.batch or 0) // ranks))
    together(ranks, Trained(job), within_s=240)
    return TrainResult.from_json(run.result.read_bytes()), run


def debian(package: str, path: str) -> None:
    """The data of a Debian package, which CI installs."""
    if not Path(path).exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"apt-get install {package}")


@pytest.fixture
def copied(tmp_path: Path) -> partial[Path]:
    def copy(name: str) -> Path:
        left_out = shutil.ignore_patterns("run", "texts", "base")
        return Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=left_out))

    return partial(copy)


def test_a_loop_of_ones_own_stops_when_asked_and_goes_on_with_other_ranks_to_beat_its_baseline(
    copied: partial[Path],
) -> None:
    folder = copied("own_model")
    assert len((folder / "train.py").read_text().splitlines()) < 120
    run = RunDir(folder / "run")
    command = [sys.executable, "train.py", "--steps", "80", "--ranks", "2"]
    with (folder / "log").open("wb") as log:
        first = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
        begun = run.attempt(1).steps
        until(lambda: begun.is_file() and begun.read_text().count("\n") >= 3, within_s=240, what="the third step")
        first.send_signal(signal.SIGUSR1)
        assert first.wait(120) == 75, (folder / "log").read_text()
    stopped_at = StepSummary.from_json(run.attempt(1).steps.read_text().splitlines()[-1]).step
    said = script(folder, "train.py", "--steps", "80", "--ranks", "1")
    assert f"resumed at step {stopped_at}" in said and "held out" in said and "finished: 80 steps" in said
    rows = [StepSummary.from_json(line) for n in (1, 2) for line in run.attempt(n).steps.read_text().splitlines()]
    assert [each.step for each in rows] == list(range(1, 81)), "every step once"
    assert (run.export / "model.safetensors").is_file()


def test_an_emulator_beats_persistence_on_worlds_it_has_not_seen(copied: partial[Path]) -> None:
    said = script(copied("weather"), "train.py", "--steps", "60")
    assert "after 6 h" in said, "the script itself asserts that it is better"


def test_a_genomic_language_model_knows_more_than_frequencies(copied: partial[Path]) -> None:
    debian("vsearch-examples", "/usr/share/doc/vsearch-examples/BioMarKs50k.fsa.gz")
    folder = copied("genomes")
    assert "1000 sequences" in script(folder, "prepare.py", "--sequences", "1000")
    result, _ = trained(folder, tokens=80 * 16 * 64)
    assert result.validation_loss is not None and result.validation_loss < result.unigram_entropy - 0.5


def test_four_languages_are_learned_together_each_a_quarter(copied: partial[Path]) -> None:
    debian("debian-handbook", "/usr/share/doc/debian-handbook/html")
    folder = copied("languages")
    assert "de: 6 pages" in script(folder, "prepare.py", "--pages", "6")
    result, _ = trained(folder, tokens=160 * 16 * 64)
    assert result.validation_loss is not None and result.validation_loss < result.unigram_entropy - 0.2
    shares = [each.samples / (160 * 16) for each in result.datasets]
    assert len(shares) == 4 and all(abs(share - 0.25) < 0.02 for share in shares)


def test_adapters_learn_what_their_frozen_base_does_not_know(copied: partial[Path]) -> None:
    folder = copied("lora")
    script(folder, "make.py")
    _, run = trained(folder, "base.yaml", tokens=120 * 16 * 48)
    shutil.copytree(run.export, folder / "base")
    result, tuned = trained(folder, tokens=120 * 16 * 48)
    first = StepSummary.from_json(tuned.attempt(1).steps.read_text().splitlines()[0]).loss
    assert result.validation_loss is not None
    assert result.validation_loss < 0.5 * first, "the base alone, at the first step"
    assert result.validation_loss < result.unigram_entropy - 0.5
    config = json.loads((tuned.export / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == 8
