"""What a site asks of an agent on its machine: news only, its policy, its limits, its kill switch, chains, ghosts."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.agent import cycle, tails
from hanse.agent.budget import CANCELS_BESIDE, Budget
from hanse.agent.halt import Halt
from hanse.agent.policy_file import PolicyFile
from hanse.agent.store import Store
from hanse.contracts.agentapi import Hello, Welcome
from hanse.contracts.base import now
from hanse.contracts.job import JobReport
from hanse.contracts.run import AttemptState
from hanse.contracts.rundir import RunDir
from tests.agent.hands import Cluster, Service, agent_of, reasons, states, wanted


def policy_file(tmp_path: Path, text: str) -> PolicyFile:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return PolicyFile(path)


def test_a_cycle_in_which_nothing_changed_tells_nothing_and_reads_no_queued_attempts_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, cluster = Service(*(wanted(f"n{n}") for n in range(20))), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        agent.cycle()
        read: list[Path] = []
        monkeypatch.setattr(tails, "traces", lambda run_dir, number: read.append(run_dir.root))
        monkeypatch.setattr(tails, "news", lambda record, run_dir, **_: read.append(run_dir.root))
        assert agent.cycle() is False
        assert read == [] and service.requests[-1].observations == ()
        assert len(cluster.looks[-1]) == 20, "the scheduler is asked once for all"


def test_after_a_restart_the_agent_asks_for_everything_and_closes_what_is_not_there(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one"), wanted("two")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        assert service.requests[-1].cursor == 0
        agent.cycle()
        assert service.requests[-1].cursor == service.revision
    del service.wishes["att-one"]
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        assert service.requests[-1].cursor == 0
        assert cluster.looks[-1] == {"hanse-att-one", "hanse-att-two"}, "it had no end: its job is looked for"
        assert len(cluster.submissions) == 2


def test_a_job_of_an_attempt_declared_gone_that_appears_after_all_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    caplog.set_level(logging.INFO)
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        lost = cluster.jobs.pop("hanse-att-one")
        service.close("att-one")
        agent.cycle()
        assert cluster.cancelled == []
        cluster.jobs["hanse-att-one"] = lost
        agent.cycle()
        assert cluster.cancelled == ["1"] and "appeared although the attempt was given up" in caplog.text
        agent.cycle()
        assert cluster.cancel_calls == 1


def test_the_kill_switch_ends_every_job_with_its_reason_and_nothing_is_submitted_until_it_is_lifted(
    tmp_path: Path,
) -> None:
    service, cluster, halt = Service(wanted("one"), wanted("two")), Cluster(), Halt(tmp_path / "agent")
    with agent_of(tmp_path, service, cluster, halt=halt) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "running")
        halt.pull("smoke in hall 2")
        service.wish(wanted("three"))
        for _ in range(3):
            agent.cycle()
        assert sorted(cluster.cancelled) == ["1", "2"] and cluster.cancel_calls == 1
        told = dict(states(service))
        assert told["att-one"] == told["att-two"] == AttemptState.CANCELLED and "att-three" not in told
        assert "The site's kill switch for this machine is on: smoke in hall 2" in reasons(service)
        assert halt.lift() and not halt.lift()
        agent.cycle()
    assert cluster.submissions == ["hanse-att-one", "hanse-att-two", "hanse-att-three"]


def test_the_services_kill_switch_does_the_same_and_holds_while_the_service_is_away(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        service.stop = True
        agent.sync()
        service.away = True
        agent.pursue()
        assert cluster.cancelled == ["1"]
        service.away = service.stop = False
        agent.cycle()
        agent.sync()
    assert reasons(service)[-1] == "The service's kill switch for this machine is on."


def test_an_agent_that_observes_reports_and_submits_and_ends_nothing(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
    service.wish(wanted("two"), wanted("one", desired="cancel"))
    cluster.become("hanse-att-one", "running")
    with agent_of(tmp_path, service, cluster, observe=True) as agent:
        for _ in range(2):
            agent.cycle()
    assert service.hellos[-1].mode == "observe"
    assert cluster.submissions == ["hanse-att-one"] and cluster.cancelled == []
    assert dict(states(service))["att-one"] == AttemptState.RUNNING
    assert "This machine's agent observes: it submits nothing." in reasons(service)


def test_a_violation_of_the_policy_fails_the_attempt_with_the_rule_and_leaves_no_trace(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one", job={"nodes": 2}), wanted("two", job={"nodes": 1})), Cluster()
    with agent_of(tmp_path, service, cluster, policy=policy_file(tmp_path, "max_nodes: 1\n")) as agent:
        for _ in range(2):
            agent.cycle()
    (refused,) = [seen for request in service.requests for seen in request.observations if seen.policy]
    assert (refused.state, refused.accelerator_seconds) == (AttemptState.FAILED, 0)
    assert refused.reason == "This site's policy does not allow it: the job asks for 2 nodes, it allows 1."
    assert cluster.submissions == ["hanse-att-two"]
    assert not (tmp_path / "work" / "runs" / "run-one").exists()
    assert service.hellos[0].policy == ("At most 1 nodes a job.",)


def test_what_must_wait_is_held_with_its_rule_told_once_and_submitted_when_the_file_lets_it(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    rules = policy_file(tmp_path, "drain: true\ndrain_reason: cooling\n")
    with agent_of(tmp_path, service, cluster, policy=rules) as agent:
        for _ in range(3):
            agent.cycle()
        assert states(service) == [("att-one", AttemptState.PLANNED)]
        assert reasons(service) == ["The site takes no new jobs: cooling."]
        (tmp_path / "policy.yaml").write_text("max_nodes: 4\n")
        agent.cycle()
    assert cluster.submissions == ["hanse-att-one"]


def test_a_policy_damaged_while_the_agent_runs_leaves_the_last_good_one_binding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service, cluster = Service(wanted("one", job={"nodes": 2})), Cluster()
    with agent_of(tmp_path, service, cluster, policy=policy_file(tmp_path, "max_nodes: 1\n")) as agent:
        (tmp_path / "policy.yaml").write_text("max_nodes: many\n")
        agent.cycle()
        agent.cycle()
    assert cluster.submissions == []
    (said,) = [line for line in caplog.messages if "policy" in line and "still binds" in line]
    assert "policy.yaml:1: max_nodes: must be a whole number" in said


def test_of_two_projects_each_gets_its_turn_when_jobs_are_capped(tmp_path: Path) -> None:
    many = [wanted(f"a{n}", project="big") for n in range(5)]
    service, cluster = Service(*many, wanted("b0", project="small")), Cluster()
    with agent_of(tmp_path, service, cluster, policy=policy_file(tmp_path, "max_open_jobs: 2\n")) as agent:
        agent.cycle()
    assert cluster.submissions == ["hanse-att-a0", "hanse-att-b0"]


def test_excluded_nodes_of_policy_and_service_reach_the_job(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one", job={"exclude": ("n1",)})), Cluster()
    with agent_of(tmp_path, service, cluster, policy=policy_file(tmp_path, "exclude_nodes: [n7, n1]\n")) as agent:
        agent.cycle()
    assert cluster.submitted[0].exclude == ("n1", "n7")


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@given(st.integers(1, 600), st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), max_size=60))
def test_the_scheduler_is_never_called_more_than_the_limit_and_a_burst_allow(
    per_minute: int, asked: list[tuple[float, int]]
) -> None:
    clock = Clock()
    budget = Budget(per_minute, clock)
    made = 0
    for pause_s, calls in asked:
        clock.at += pause_s
        made += calls if budget.allows(calls) else 0
    assert made <= max(4.0, per_minute / 2) + clock.at * per_minute / 60 + 1e-6


def test_jobs_can_be_ended_when_the_limit_is_used_up_a_few_times() -> None:
    budget = Budget(6, Clock())
    while budget.allows():
        pass
    assert [budget.allows_a_cancel() for _ in range(CANCELS_BESIDE + 1)] == [True] * CANCELS_BESIDE + [False]


def test_a_limit_of_calls_spreads_submissions_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, cluster = Service(*(wanted(f"n{n}") for n in range(12))), Cluster()
    rules = policy_file(tmp_path, "scheduler_calls_per_minute: 12\n")
    clock = Clock()
    monkeypatch.setattr(cycle, "Budget", lambda per_minute: Budget(per_minute, clock))
    with agent_of(tmp_path, service, cluster, policy=rules) as agent:
        counts = []
        for _ in range(12):
            agent.cycle()
            counts.append(len(cluster.submissions))
            clock.at += 30
    assert counts[0] <= 4 and counts[-1] == 12
    assert len(set(cluster.submissions)) == 12


def test_an_attempt_queued_ahead_is_submitted_after_the_job_before_it_whatever_the_order(tmp_path: Path) -> None:
    service, cluster = Service(wanted("two", after="att-one"), wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        agent.cycle()
    assert cluster.after == {"hanse-att-one": None, "hanse-att-two": "1"}


def test_one_queued_ahead_of_an_attempt_that_ended_or_was_never_here_waits_for_nothing(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.become("hanse-att-one", "completed", elapsed_s=3.0, accelerators=1)
        agent.cycle()
        service.wish(wanted("two", after="att-one"), wanted("three", after="att-of-old"))
        agent.cycle()
    assert cluster.after["hanse-att-two"] is None and cluster.after["hanse-att-three"] is None


def test_one_queued_ahead_of_an_attempt_that_is_lost_waits_for_word_of_it(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        cluster.jobs.clear()
        later = now() + timedelta(minutes=5)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cycle, "now", lambda: later)
            agent.cycle()
        service.wish(wanted("two", after="att-one"))
        agent.cycle()
        assert cluster.submissions == ["hanse-att-one"]
        service.close("att-one")  # the operator declared it gone
        agent.cycle()
    assert cluster.submissions == ["hanse-att-one", "hanse-att-two"] and cluster.after["hanse-att-two"] is None


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), rounds=st.integers(1, 4))
def test_a_chain_is_submitted_once_each_in_order_however_its_attempts_come_in(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], rounds: int
) -> None:
    chain = [wanted(f"c{n}", **({"after": f"att-c{n - 1}"} if n else {})) for n in range(6)]
    service, cluster = Service(*(chain[n] for n in order)), Cluster()
    folder = tmp_path_factory.mktemp("chain")
    for _ in range(8):  # the agent is started anew again and again
        with agent_of(folder, service, cluster) as agent:
            for _ in range(rounds):
                agent.cycle()
    assert sorted(cluster.submissions) == [f"hanse-att-c{n}" for n in range(6)]
    ids = {name: reports[0].job_id for name, reports in cluster.jobs.items()}
    assert [cluster.after[f"hanse-att-c{n}"] for n in range(6)] == [None, *(ids[f"hanse-att-c{n}"] for n in range(5))]


def test_a_claim_without_a_record_of_it_is_not_submitted_again(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    attempt = RunDir(tmp_path / "work" / "runs" / "run-one").attempt(1)
    attempt.root.mkdir(parents=True)
    attempt.claim.write_text("4711\n")
    with agent_of(tmp_path, service, cluster) as agent:
        for _ in range(2):
            agent.cycle()
    assert cluster.submissions == [] and states(service) == [("att-one", AttemptState.UNKNOWN)]


def test_an_estimated_start_is_told_and_its_wavering_is_not(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    start = now().replace(minute=5, second=0, microsecond=0) + timedelta(hours=2)
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        for minutes in (0, 1, 2, 1, 60):
            cluster.become("hanse-att-one", "queued", expected_start_at=start + timedelta(minutes=minutes))
            agent.cycle()
        agent.cycle()
    told = [s.expected_start_at for r in service.requests for s in r.observations if s.expected_start_at]
    assert told == [start, start + timedelta(hours=1)]


def test_a_node_that_its_log_accuses_is_reported_with_the_failure(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        log = RunDir(tmp_path / "work" / "runs" / "run-one").attempt(1).log
        log.write_text("step 4\n[kernel] lrdn0042: NVRM: Xid (PCI:0000:1a:00): 79, GPU has fallen off the bus\n")
        cluster.become("hanse-att-one", "failed", exit_code=1, nodes=("lrdn0041", "lrdn0042"))
        agent.cycle()
        agent.sync()
    (seen,) = [s for r in service.requests for s in r.observations if s.state is AttemptState.FAILED]
    assert [node.name for node in seen.bad_nodes] == ["lrdn0042"]


def test_closed_attempts_are_forgotten_after_the_days_the_policy_keeps_and_open_ones_never(tmp_path: Path) -> None:
    store = Store(tmp_path / "agent.sqlite3")
    store.take((wanted("one"), wanted("two")))
    store.take((), closed=("att-one",))
    assert store.prune(before=now() + timedelta(days=1)) == 1
    assert store.find("att-one") is None and store.find("att-two") is not None
    store.close()


def test_of_all_closed_attempts_only_the_last_are_kept_and_those_whose_job_may_yet_appear(
    tmp_path: Path,
) -> None:
    path = tmp_path / "agent.sqlite3"
    store = Store(path)
    lost, *rest = [wanted(f"{number:05d}") for number in range(121)]
    names = tuple(one.attempt_id for one in rest)
    store.take((lost, *rest))
    store.intend(lost.attempt_id, now())  # given up without an end: its job is watched for
    store.take((), closed=(lost.attempt_id, *names))
    store.prune(before=now() - timedelta(days=90), most=20)
    kept = [name for name in names if store.find(name) is not None]
    assert kept == list(names[-20:])
    assert store.prune(before=now() + timedelta(days=1)) == 20
    assert store.find(lost.attempt_id) is not None
    store.close()


def test_a_clock_that_is_minutes_apart_is_said_plainly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Ahead(Service):
        def hello(self, hello: Hello) -> Welcome:
            return super().hello(hello).model_copy(update={"clock": now() + timedelta(minutes=7)})

    with agent_of(tmp_path, Ahead(), Cluster()):
        assert "clock is 7 min apart from the service's: tickets will be refused" in caplog.text


def test_thousands_of_news_go_in_pieces(tmp_path: Path) -> None:
    service, cluster = Service(*(wanted(f"n{n}") for n in range(450))), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        while agent.cycle():
            pass
        while agent.sync():
            pass
    sizes = [len(request.observations) for request in service.requests]
    assert sum(sizes) == 450 and max(sizes) == 200


def test_the_agent_is_importable_where_django_is_not_installed() -> None:
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'django', 'ninja'}: raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import hanse.agent.main, hanse.agent.parts, hanse.agent.policy_file\n"
        "import hanse.cli.verbs.agent, hanse.schedulers.make\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_two_jobs_of_a_queued_attempt_are_looked_at_however_quiet_the_first(tmp_path: Path) -> None:
    service, cluster = Service(wanted("one")), Cluster()
    with agent_of(tmp_path, service, cluster) as agent:
        agent.cycle()
        (first,) = cluster.jobs["hanse-att-one"]
        twin = JobReport(job_id="99", name=first.name, state="queued", raw_state="PENDING")
        cluster.jobs["hanse-att-one"] = (first, twin)
        agent.cycle()
        agent.sync()
    assert service.requests[-1].observations[0].doubled_jobs == ("99",)
