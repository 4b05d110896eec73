"""A training without a model, for `command:`: it counts steps, saves checkpoints, and goes on from the newest one.

    command: {run: python3 payload.py --steps 40 --step-s 0.1 --every 5, resumes: true}

What it did can be checked to the step afterwards (`verify`): every step adds itself to a chain of hashes that only the
steps 1 … N in order, each once, can give; a ledger has one row for each step that counted. SIGUSR1 or the attempt's
`stop` file make it save and end with 75: there is more to do. It needs nothing but the standard library and the
variables of `contracts/jobenv.py`. Ranks other than the first have nothing to do.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

MORE_TO_DO = 75
DOUBLED = 76


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="counts steps and saves checkpoints")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--step-s", type=float, default=0.1, help="how long one takes")
    parser.add_argument("--every", type=int, default=5, help="steps between two checkpoints")
    given = parser.parse_args(arguments)
    if os.environ.get("HANSE_NODE_RANK", "0") != "0":
        return 0
    run, attempt = Path(os.environ["HANSE_RUN_DIR"]), int(os.environ["HANSE_ATTEMPT"])
    folder = run / "payload"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (folder / f"doubled-{attempt}-{os.environ.get('HANSE_JOB_ID', '')}").touch()
            print("payload: another one of this run is at work", file=sys.stderr)
            return DOUBLED
        return _train(folder, run / "attempts" / f"{attempt:04d}", attempt, given.steps, given.step_s, given.every)


def _train(folder: Path, attempt_folder: Path, attempt: int, steps: int, step_s: float, every: int) -> int:
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGUSR1, stop)
    done, chain = newest(folder)
    _shorten(folder / "ledger.jsonl", done)
    print(f"payload: attempt {attempt} goes on from step {done} of {steps}", flush=True)
    with (folder / "ledger.jsonl").open("a") as ledger, (attempt_folder / "steps.jsonl").open("a") as rows:
        while done < steps:
            if stopping or (attempt_folder / "stop").exists():
                _save(folder, done, chain)
                return MORE_TO_DO
            time.sleep(step_s)
            done, chain = done + 1, _next(chain, done + 1)
            print(json.dumps({"step": done, "attempt": attempt, "chain": chain}), file=ledger, flush=True)
            print(json.dumps(_summary(attempt, done, step_s)), file=rows, flush=True)
            if done % every == 0 or done == steps:
                os.fsync(ledger.fileno())
                _save(folder, done, chain)
    return 0


def newest(folder: Path) -> tuple[int, str]:
    """Step and chain of the newest complete checkpoint; (0, '') before the first."""
    for path in sorted(folder.glob("step-????????.json"), reverse=True):
        try:
            kept = json.loads(path.read_text())
            return int(kept["step"]), str(kept["chain"])
        except (ValueError, KeyError):
            continue
    return 0, ""


def chain_of(steps: int) -> str:
    chain = ""
    for step in range(1, steps + 1):
        chain = _next(chain, step)
    return chain


def verify(run: Path, steps: int) -> list[str]:
    """What is wrong with a finished run's folder; nothing, if each step counted exactly once."""
    folder = run / "payload"
    wrong = []
    if newest(folder) != (steps, chain_of(steps)):
        wrong.append(f"the last checkpoint holds {newest(folder)}, not step {steps}")
    try:
        rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        return [*wrong, f"the ledger cannot be read: {error}"]
    if [row["step"] for row in rows] != list(range(1, steps + 1)):
        wrong.append(f"the ledger's steps are {[row['step'] for row in rows]}")
    if [row["attempt"] for row in rows] != sorted(row["attempt"] for row in rows):
        wrong.append("an earlier attempt worked after a later one")
    return [*wrong, *(f"{path.name}: two at a time" for path in sorted(folder.glob("doubled-*")))]


def _next(chain: str, step: int) -> str:
    return hashlib.sha256(f"{chain} {step}".encode()).hexdigest()[:16]


def _save(folder: Path, step: int, chain: str) -> None:
    """Whole or not at all, and there after a power cut; the two newest are kept."""
    path, aside = folder / f"step-{step:08d}.json", folder / f".{step}.{os.getpid()}"
    with aside.open("w") as file:
        json.dump({"step": step, "chain": chain}, file)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    for old in sorted(folder.glob("step-????????.json"))[:-2]:
        old.unlink()


def _shorten(ledger: Path, done: int) -> None:
    """Leave out what came after the checkpoint: it is done again."""
    if not ledger.exists():
        return
    kept = []
    for line in ledger.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= done:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue  # cut when its writer was killed
    aside = ledger.with_suffix(".new")
    aside.write_text("".join(kept))
    aside.rename(ledger)


def _summary(attempt: int, step: int, step_s: float) -> dict[str, object]:
    """A row of the attempt's steps.jsonl (`contracts.telemetry.StepSummary`): how the service hears of progress."""
    spread, nothing = {name: {"min": s, "median": s, "max": s} for name, s in (("step", step_s), ("no", 0.0))}.values()
    return {
        "attempt": attempt, "step": step, "at": datetime.now(UTC).isoformat(), "tokens": step, "loss": 1.0 / step,
        "grad_norm": 0.0, "lr": 0.0, "step_s": spread, "data_s": nothing, "compute_s": spread, "optimiser_s": nothing,
        "memory_bytes": nothing, "tokens_per_s": 1.0 / max(step_s, 1e-9),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
