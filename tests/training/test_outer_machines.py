"""Three legs as processes of the trainer, each in a network of its own without a route, nothing shared but what a
courier carries: one killed and started again, one late."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.contracts.outer import OuterLaunch, OuterLeg, OuterRow, OuterTerms
from hanse.contracts.telemetry import TrainResult
from hanse.contracts.ticket import SignedTicket
from hanse.tickets import keys, signing
from hanse.training import ledger
from hanse.training.data.prepare import prepare
from hanse.training.outer import trail
from tests import needs
from tests.training.federation import carry
from tests.training.hands import (
    PRIVATE_KEY,
    free_port,
    make_job,
    make_run,
    make_spec,
    variables,
    write_texts,
    write_ticket,
)
from tests.waiting import until

pytestmark = [pytest.mark.torch, pytest.mark.crash]

LEGS = ("lumi", "leonardo", "mn5")
ROUNDS, STEPS, BATCH = 6, 5, 8
# Behind `unshare -n` there is nothing but a loopback that is down; ranks of one machine meet over it.
START = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
    try:
        probe.connect(("192.0.2.1", 9))
        sys.exit("there is a route out")
    except OSError:
        pass
from hanse.training.main import main
main(sys.argv[1:])
"""


def unshared() -> bool:
    """Whether this machine lets us make a network without a route."""
    return shutil.which("unshare") is not None and not subprocess.run(["unshare", "-n", "true"], check=False).returncode


class Machine:
    """One machine: a home of its own, with a leg's run folder and data in it."""

    def __init__(self, root: Path, name: str, texts: Path, terms: OuterTerms, key: bytes) -> None:
        self.name, self.terms, self.home = name, terms, root / name
        own_texts = shutil.copytree(texts, self.home / "texts")
        tokens = ROUNDS * len(LEGS) * STEPS * BATCH * 16
        spec = make_spec(own_texts, tokens=tokens, batch=BATCH, checkpoint={"every_steps": 2})
        self.run = make_run(self.home / "run", spec)
        self.run.outer.write_text(OuterLaunch(leg=name, terms=terms).to_json())
        self.run.exchange_key.write_bytes(key)
        prepare(make_job(self.run, self.home / "data"))
        self.attempts = 0

    def start(self) -> subprocess.Popen[bytes]:
        self.attempts += 1
        spec = make_job(self.run, self.home / "data").spec
        write_ticket(self.run, self.attempts, spec)
        ticket = self.run.attempt(self.attempts).ticket
        named = SignedTicket.from_json(ticket.read_bytes()).ticket.model_copy(
            update={"outer_sha256": self.terms.digest()}
        )
        ticket.write_text(signing.sign(named, PRIVATE_KEY).to_json())
        environment = {
            **os.environ, **variables(self.run, self.home / "data", attempt=self.attempts),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1",
            "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        with self.run.attempt(self.attempts).log.open("ab") as log:
            return subprocess.Popen(
                ["unshare", "-n", sys.executable, "-c", START], env=environment, stdout=log, stderr=log
            )

    def rows(self, what: str) -> list[OuterRow]:
        return [each for each in trail.read(self.run.outer_rows) if each.what == what]

    @property
    def said(self) -> str:
        return "".join(self.run.attempt(n).log.read_text() for n in range(1, self.attempts + 1))


def carry_between(machines: list[Machine]) -> None:
    """The courier's work, by hand: the machines share nothing else."""
    carry(machines[0].home.parent, inside="run")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        if each.poll() is None:
            each.kill()
            each.wait()


def test_legs_without_a_network_end_with_the_same_weights_one_of_them_killed_and_one_late(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    if not unshared():
        needs.lacking("this machine does not let us make a network namespace (unshare -n)")
    texts = write_texts(tmp_path / "texts")
    private = {name: bytes([n + 1]) * 32 for n, name in enumerate(LEGS)}
    terms = OuterTerms(
        run_id="run-1", legs=tuple(OuterLeg(name=name, public_key=keys.public_key_b64(private[name])) for name in LEGS),
        inner_steps=STEPS, codec="int4", fragments=2, overlap_steps=1, wait_s=0.3, min_legs=2, silent_s=600,
    )  # fmt: skip
    lumi, leonardo, mn5 = machines = [Machine(tmp_path / "machines", n, texts, terms, private[n]) for n in LEGS]

    def carried_until(done: object, what: str) -> None:
        def looked() -> bool:
            carry_between(machines)
            ended = [each for each in processes if each.poll() not in (None, 0, -signal.SIGKILL)]
            assert not ended, "\n\n".join(each.said for each in machines)
            return bool(done())  # type: ignore[operator]

        until(looked, within_s=240, what=what, every_s=0.02)

    processes += [lumi.start(), leonardo.start()]
    carried_until(lambda: len(lumi.rows("committed")) >= 3 and any(leonardo.run.checkpoints.glob("step-0*/COMPLETE")),
                  "three commits of two legs, and a checkpoint")  # fmt: skip
    processes[1].send_signal(signal.SIGKILL)
    processes[1].wait()
    # The first leg now waits for a second; both that come find outer steps that were taken without them.
    processes += [mn5.start(), leonardo.start()]
    carried_until(lambda: all(each.run.finished.exists() for each in machines), "the end of all three legs")
    for each in (processes[0], *processes[2:]):
        assert each.wait(60) == 0

    exported = [(each.run.export / "model.safetensors").read_bytes() for each in machines]
    assert exported[0] == exported[1] == exported[2]
    assert [row.result_sha256 for row in lumi.rows("applied")] == [row.result_sha256 for row in mn5.rows("applied")]
    first = lumi.rows("applied")[0]
    assert [each.leg for each in first.parts] == ["lumi", "leonardo"]
    assert mn5.rows("returned") and {row.attempt for row in leonardo.rows("applied")} == {1, 2}
    assert not any(each.rows("refused") for each in machines)

    result = TrainResult.from_json(mn5.run.result.read_bytes())
    trained = sum(each.samples for each in ledger.read(mn5.run.ledger))
    assert result.tokens == trained * 16 < ROUNDS * STEPS * BATCH * 16, "it tells only what it has trained on"
