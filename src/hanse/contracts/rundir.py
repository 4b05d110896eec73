"""Where everything of a run lies on a machine. Agent, job scripts and trainer share these paths and nothing else.

<root>/                        one folder a run
  train.yaml                   the spec as launched
  plan.json                    absent for `command:`
  machine.json                 the machine as planned for
  code/                        the unpacked code bundle, where there is one
  data.json                    which prepared data the run reads; written once, the same for every attempt
  checkpoints/step-00000040/   Distributed Checkpoint; complete only with its COMPLETE file
  export/                      model.safetensors, config.json, tokenizer.json of the finished model; adapter/
  ledger.jsonl                 LedgerEntry rows: what was really read
  FINISHED                     written last, by rank 0: a job that finds it ends at once
  result.json                  TrainResult
  outer.json                   OuterLaunch: of a run with legs on several machines, which of them this is
  exchange.key                 32 bytes that the leg signs its files with, for their owner alone
  outbox/  inbox/              what the leg sends, and what the courier brought it (`contracts.outer`)
  absent.json                  names of legs that were given up: the leg that commits does not wait for them
  outer.jsonl                  OuterRow rows: who took part in each outer step, and what was refused
  attempts/0001/
    job.json  ticket.json      what was asked, and what allows it
    claim                      the fence: created exclusively by the job's first act; holds the job id
    doubled.<job id>           left by a job that found the claim taken
    job.sh  job.log            the batch script where there is one; stdout and stderr of the job
    steps.jsonl                StepSummary rows (rank 0)
    rank-00000.jsonl           RankRow rows, one file a rank
    hung/                      where each rank was when a part of a step took longer than faults.hung_s
    stop                       made by a node's launcher: finish the step, write a checkpoint, end with 0
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class AttemptDir(NamedTuple):
    root: Path

    @property
    def job(self) -> Path:
        return self.root / "job.json"

    @property
    def ticket(self) -> Path:
        return self.root / "ticket.json"

    @property
    def claim(self) -> Path:
        return self.root / "claim"

    @property
    def script(self) -> Path:
        return self.root / "job.sh"

    @property
    def log(self) -> Path:
        return self.root / "job.log"

    @property
    def steps(self) -> Path:
        return self.root / "steps.jsonl"

    @property
    def stop(self) -> Path:
        return self.root / "stop"

    def rank_rows(self, rank: int) -> Path:
        return self.root / f"rank-{rank:05d}.jsonl"

    def doubled(self, job_id: str) -> Path:
        return self.root / f"doubled.{job_id}"


class RunDir(NamedTuple):
    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "train.yaml"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def machine(self) -> Path:
        return self.root / "machine.json"

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def data(self) -> Path:
        return self.root / "data.json"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def export(self) -> Path:
        return self.root / "export"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    @property
    def finished(self) -> Path:
        return self.root / "FINISHED"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def outer(self) -> Path:
        return self.root / "outer.json"

    @property
    def exchange_key(self) -> Path:
        return self.root / "exchange.key"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def absent(self) -> Path:
        return self.root / "absent.json"

    @property
    def outer_rows(self) -> Path:
        return self.root / "outer.jsonl"

    def attempt(self, number: int) -> AttemptDir:
        return AttemptDir(self.root / "attempts" / f"{number:04d}")
