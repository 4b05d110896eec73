"""One rank of a training: `torchrun … -m hanse.training.main [--no-ticket]`. `launch` starts it on every node.

Ends with 0 when the run is finished, and also when it was asked to stop and has written its checkpoint.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist

from hanse.contracts.errors import HanseError, TrainingError
from hanse.training import compat, permit
from hanse.training.checkpoints import Checkpoints
from hanse.training.data.samples import open_samples
from hanse.training.ending import finish
from hanse.training.faults import Faults, RollBack
from hanse.training.job import Job
from hanse.training.legs import legs_of
from hanse.training.loop import train
from hanse.training.meter import Meter
from hanse.training.optimizer import make_optimizer
from hanse.training.outer.chain import OffTheChain
from hanse.training.parallelize import spread
from hanse.training.parent import die_with_parent
from hanse.training.say import say
from hanse.training.watch import BEYOND_HUNG_S


def run(*, no_ticket: bool = False) -> None:
    """Everything a rank does, in order."""
    job = Job.from_environment()
    if job.run.finished.exists():
        return
    compat.require_release()
    stop_asked = listen(job)
    permit.require(job, no_ticket=no_ticket)
    device = compat.device_of(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(
        compat.backend_of(device), timeout=timedelta(seconds=job.spec.faults.hung_s + BEYOND_HUNG_S)
    )
    work(job, device, stop_asked)


def work(job: Job, device: torch.device, stop_asked: Callable[[], bool]) -> None:
    """The job from its last checkpoint on, by the ranks of a process group that has come together."""
    samples, prepared = open_samples(job)
    parallel = spread(job, device)
    optimizer = make_optimizer(parallel, job.spec.optimizer)
    checkpoints = Checkpoints(job, parallel, optimizer, samples)
    if dist.get_rank() == 0:
        _introduce(job, device)
    faults = Faults(job, dist.get_rank())
    legs = checkpoints.legs = legs_of(
        job, parallel, faults, stop_asked, calendar=job.calendar, tokens_per_step=job.tokens_per_step
    )
    start = checkpoints.resume()
    meter = Meter(job, device, stop_asked, clock=parallel.clock)
    if faults.goes_back and start.step == 0:
        checkpoints.save(start)
    while True:
        try:
            position = train(job, parallel, optimizer, samples, checkpoints, meter, faults, legs, start)
            break
        except RollBack as back:
            meter.rest()
            optimizer.zero_grad(set_to_none=True)
            start = back.start(checkpoints.resume(required=True))
        except OffTheChain as off:
            meter.rest()
            optimizer.zero_grad(set_to_none=True)
            if dist.get_rank() == 0:
                say(f"GOING BACK: {off}; this leg was cut off and goes on from where it last agreed with the others")
            # Without a checkpoint of then, the next attempt begins anew and does the outer steps again by their files.
            start = checkpoints.resume(required=True)
    meter.close()
    if position.step == job.steps and legs.done:
        finish(job, parallel, samples, prepared, position)
    elif dist.get_rank() == 0:
        say(f"stopped as asked at step {position.step} of {job.steps}; the next attempt goes on from there")


def main(arguments: Sequence[str]) -> NoReturn:
    main_of(lambda: run(no_ticket="--no-ticket" in arguments))


def main_of(act: Callable[[], None]) -> NoReturn:
    """`act` as a rank's whole life: what goes wrong is said on one line with rank and host."""
    die_with_parent(os.environ.get("HANSE_TORCHRUN_PID"))
    try:
        act()
    except SystemExit as left:
        _leave(left.code if isinstance(left.code, int) else int(left.code is not None))
    except HanseError as error:
        _fail(" — ".join(str(error).splitlines()), error.exit_code)
    except Exception as error:  # whatever it was, it is said on one line with rank and host, then in full
        traceback.print_exc()
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        lost = isinstance(error, RuntimeError) and any(word in str(error) for word in ("onnection", "peer", "imed out"))
        _fail(f"{'lost contact with another rank: ' if lost else ''}{type(error).__name__}: {first}")
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End here and now, all files being written and closed.

    Taking a process group down in order, while peers are ahead, behind or stuck, now and then hangs (NCCL) or aborts
    (gloo's threads: seen with torch 2.13); and peers that wait for this rank are told by its sockets closing.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(what: str, code: int = 1) -> NoReturn:
    rank = os.environ.get("RANK", "?")
    say(f"FAILED rank {rank} on {socket.gethostname()}: {what}")
    _leave(code)


def listen(job: Job, *also: signal.Signals) -> Callable[[], bool]:
    """Two ways to ask a rank to stop: its launcher's `stop` file, and (without one) USR1, TERM, `also` those."""
    heard: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGTERM, *also):
        signal.signal(number, lambda received, _frame: heard.append(received))
    stop = job.attempt.stop
    look = int(os.environ["RANK"]) == 0
    return lambda: bool(heard) or (look and stop.exists())


def _introduce(job: Job, device: torch.device) -> None:
    if job.world_size != dist.get_world_size():
        raise TrainingError(f"{dist.get_world_size()} ranks came; the job is for {job.world_size}")
    say(
        f"{job.spec.name}: {job.layout.describe()} on {device.type}, {job.steps} steps of "
        f"{job.tokens_per_step} tokens, {compat.threads_of_this_rank()} threads a rank, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
