"""One node of a local job: starts one step here, passes signals on, and leaves no process behind.

`python -m hanse.schedulers.node GRACE_S argv…` is what a Slurm node daemon is to a real job. It ends with the step's
exit code (128 + n if signal n ended it). TERM ends the step and, after GRACE_S, kills it; USR1 is passed to the step;
USR2, which the kernel sends when the supervisor is gone, kills it at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from hanse.schedulers import processes
from hanse.schedulers.environment import is_own, resolved

ORPHANED = signal.SIGUSR2
_HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, ORPHANED)
_POLL_S = 0.5


def prepare(supervisor_pid: int) -> None:
    """Run by the supervisor's child between fork and exec, so that no signal and no death falls into a gap."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    processes.die_with_parent(ORPHANED)
    if os.getppid() != supervisor_pid:  # it died before the kernel was asked
        os._exit(137)


def main(argv: list[str]) -> int:
    processes.adopt_orphans()
    return _run(tuple(argv[1:]), grace_s=float(argv[0]))


def _run(command: tuple[str, ...], *, grace_s: float) -> int:
    def in_the_child() -> None:
        if is_own(command):
            # Everything of ours that does not listen for the stop signal (torchrun) must outlive it; a user's shell
            # could not trap a signal that was ignored when it began, so for others it stays as it is.
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        processes.die_with_parent(signal.SIGKILL)

    try:
        step = subprocess.Popen(resolved(command), preexec_fn=in_the_child, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"hanse: cannot start {command[0]}: {error.strerror}\n")
        return 127
    kill_at: float | None = None
    while True:
        received = signal.sigtimedwait(_HANDLED, _POLL_S)
        code = _reap(step)
        if code is not None:
            processes.kill_all(processes.descendants)
            return code
        number = received.si_signo if received else None
        if number == signal.SIGUSR1:
            with suppress(ProcessLookupError):
                os.kill(step.pid, signal.SIGUSR1)
        elif number in (signal.SIGTERM, signal.SIGINT) and kill_at is None:
            processes.signal_all(processes.descendants(), signal.SIGTERM)
            kill_at = time.monotonic() + grace_s
        elif number == ORPHANED or (kill_at is not None and time.monotonic() > kill_at):
            processes.kill_all(processes.descendants)


def _reap(step: subprocess.Popen[bytes]) -> int | None:
    """Collect every ended child, adopted ones too; the step's exit code if it was among them."""
    code = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == step.pid:
                raw = os.waitstatus_to_exitcode(status)
                code = step.returncode = raw if raw >= 0 else 128 - raw
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
