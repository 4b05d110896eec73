"""The site's policy: which rule stands in an attempt's way, in which words, and what a damaged file is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse.agent.nodes import to_blame
from hanse.agent.policy import Held, Load, Refused, judge, sentences, unix_user
from hanse.agent.policy_file import load
from hanse.contracts.errors import SpecError
from hanse.contracts.job import JobReport, Step
from hanse.contracts.policy import SitePolicy
from tests.agent.hands import wanted
from tests.contracts.examples import AT, SPEC

COMMAND = ("bash", "-c", "make all")
PERSONAL = SPEC.model_copy(update={"data": tuple(d.model_copy(update={"personal_data": True}) for d in SPEC.data)})


def verdict(policy: dict[str, Any], *, load: Load | None = None, at: datetime = AT, **wish: Any) -> Any:
    return judge(SitePolicy.model_validate(policy), wanted("one", **wish), load or Load(), at=at)


def job(**changes: Any) -> dict[str, Any]:
    return {"job": changes}


@pytest.mark.parametrize(
    ("policy", "wish", "rule"),
    [
        ({"projects": ["ours"]}, {"project": "theirs"}, "project theirs is not among its projects"),
        ({"users": ["anna"]}, {}, "user (none named) is not among its users"),
        ({"accounts": ["a1"]}, job(account="a2"), "account a2 is not among its accounts"),
        ({"partitions": ["boost"]}, job(partition="prod"), "partition prod is not among boost"),
        ({"max_nodes": 1}, job(nodes=3), "asks for 3 nodes, it allows 1"),
        ({"max_wall_time_s": 3600}, job(wall_time_s=7260), "asks for 2 h 1 min, it allows 1 h"),
        ({"code": "none"}, {"code": "1" * 64}, "code bundle 111111111111… is not approved"),
        ({"code": ["2" * 64]}, {"code": "1" * 64}, "is not approved"),
        ({"commands": "none"}, job(steps=(Step(name="c", argv=COMMAND, nodes=1),)), "'make all' is not among"),
        ({"commands": ["make"]}, job(steps=(Step(name="c", argv=COMMAND, nodes=1),)), "'make all' is not among"),
        ({"code": "none"}, job(environment={"LD_PRELOAD": "x.so"}), "the job sets LD_PRELOAD"),
        ({"images": ["oras://ours/"]}, job(image="docker://evil"), "docker://evil is of none of its sources"),
        ({"personal_data": False}, {"spec": PERSONAL}, "holds personal data"),
        (
            {"identity": {"mode": "sudo", "users": {"bo": "bo1"}, "group": "hanse"}},
            {"user": "anna", "project": "p"},
            "no Unix user is named for anna of p",
        ),
    ],
)
def test_a_violation_is_refused_with_its_rule(policy: dict[str, Any], wish: dict[str, Any], rule: str) -> None:
    found = verdict(policy, **wish)
    assert isinstance(found, Refused) and rule in found.reason
    assert found.reason.startswith("This site's policy does not allow it: ")


def test_a_command_hidden_in_a_job_whose_spec_has_none_is_found() -> None:
    steps = (Step(name="train", argv=("hanse", "train"), nodes=1), Step(name="x", argv=("curl", "evil"), nodes=1))
    found = verdict({"commands": ["make all"]}, **job(steps=steps))
    assert isinstance(found, Refused) and "'curl evil'" in found.reason


def test_what_fits_every_rule_may_go() -> None:
    policy = {
        "projects": ["ours"], "users": ["anna"], "accounts": ["a1"], "max_nodes": 4, "max_wall_time_s": 3600,
        "code": ["1" * 64], "commands": ["make all"], "max_open_jobs": 1, "personal_data": False,
    }  # fmt: skip
    wish = {"project": "ours", "user": "anna", "code": "1" * 64, "job": {"account": "a1", "nodes": 4}}
    assert verdict(policy, **wish) is None


def test_drain_maintenance_and_caps_hold_and_do_not_refuse() -> None:
    window = {"starts": AT + timedelta(minutes=12), "ends": AT + timedelta(hours=4), "reason": "cooling"}
    soon = verdict({"maintenance": [window]}, at=AT)
    assert (
        isinstance(soon, Held) and "Its wall time of 10 min would reach into the maintenance (cooling)" in soon.reason
    )
    assert verdict({"maintenance": [window]}, at=AT - timedelta(hours=1)) is None
    assert verdict({"maintenance": [window]}, at=AT + timedelta(hours=4)) is None
    assert verdict({"maintenance": [{**window, "partitions": ["other"]}]}, at=AT) is None
    full = Load.of([wanted("a", project="p"), wanted("b", project="p")])
    assert isinstance(verdict({"max_open_jobs": 2}, load=full), Held)
    assert isinstance(verdict({"max_open_jobs_per_project": 2}, load=full, project="p"), Held)
    assert verdict({"max_open_jobs_per_project": 2}, load=full, project="q") is None
    assert isinstance(verdict({"drain": True, "max_nodes": 1}, job={"nodes": 2}), Refused), (
        "what never fits is told now"
    )


def test_a_user_is_looked_up_before_the_project() -> None:
    identity = {"mode": "sudo", "group": "hanse", "users": {"anna": "anna1"}, "projects": {"ours": "shared"}}
    policy = SitePolicy.model_validate({"identity": identity})
    assert unix_user(policy, wanted("a", user="anna", project="ours")) == "anna1"
    assert unix_user(policy, wanted("a", user="bo", project="ours")) == "shared"
    assert unix_user(SitePolicy(), wanted("a", user="bo")) is None


def test_a_policy_reads_as_people_write_it_and_says_what_it_binds(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "projects: [norrlyd]\nmax_nodes: 16\nmax_wall_time_s: 24h\ncode: none\nscheduler_calls_per_minute: 60\n"
        "maintenance:\n  - starts: 2026-12-01T08:00:00+01:00\n    ends: 2026-12-01T18:00:00+01:00\n"
        "    reason: cooling\n"
    )
    policy = load(path)
    assert policy.maintenance[0].starts == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert sentences(policy) == (
        "Projects: norrlyd.", "At most 16 nodes a job.", "At most 24 h a job.", "No code of users'.",
        "Maintenance from 2026-12-01 08:00 +01:00 to 2026-12-01 18:00 +01:00: cooling.",
        "At most 60 calls of the scheduler a minute.",
    )  # fmt: skip
    assert sentences(SitePolicy()) == ()


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("max_nodes: 2\nmax_node: 3\n", ":2", 'max_node: unknown key; did you mean "max_nodes"?'),
        ("max_nodes: 0\n", ":1", "max_nodes: must be greater than 0, not 0"),
        ("drain: yes please\n", ":1", "drain: must be true or false"),
        ("maintenance:\n  - starts: 2026-12-01T08:00:00\n    ends: 2026-12-02T08:00:00Z\n", ":2", "with its zone"),
        (
            "maintenance:\n  - starts: 2026-12-02T08:00:00Z\n    ends: 2026-12-01T08:00:00Z\n", ":3",
            "ends must be after starts",
        ),
        ("identity:\n  mode: sudo\n", ":2", "needs users or projects"),
        ("identity:\n  mode: sudo\n  group: hanse\n  users: {anna: root}\n", ":4", "may not run as root"),
        ("identity:\n  mode: sudo\n  group: hanse\n  users: {anna: 'a b; rm'}\n", ":4", "identity.users.anna"),
        ("max_nodes: [\n", "", ""),
    ],
)  # fmt: skip
def test_a_damaged_policy_is_refused_with_file_line_and_key(
    tmp_path: Path, text: str, where: str, says: str
) -> None:  # fmt: skip
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load(path)
    assert caught.value.where.startswith(f"{path}{where}") and says in caught.value.what
    assert caught.value.exit_code == 2


NODES = ("lrdn0041", "lrdn0042", "lrdn0043")


def failed(state: str = "failed", reason: str = "", nodes: tuple[str, ...] = NODES) -> JobReport:
    return JobReport.model_validate(
        {"job_id": "1", "name": "n", "state": state, "raw_state": state, "reason": reason, "nodes": nodes}
    )


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("lrdn0042:1234:1300 [1] NCCL WARN Call to ibv_modify_qp failed with error Connection timed out", "collective"),
        ("lrdn0042.leonardo.local kernel: NVRM: Xid (PCI:0000:8f:00): 94, Contained ECC error", "Xid"),
        ("[lrdn0042] mlx5_0:1 local QP operation error", "InfiniBand"),
        ("srun: error: Task launch for StepId=7.0 failed on node lrdn0042: Communication connection failure", ""),
        ("slurmstepd: error: Communication connection failure on node lrdn0042", "launch failure"),
        ("slurmctld: node lrdn0042 not responding", "node failure"),
        ("lrdn0042: GPU 00000000:1A:00.0: Detected Uncorrectable ECC errors", "memory error"),
    ],
)
def test_a_node_named_beside_a_fault_of_the_hardware_is_held_to_blame(line: str, what: str) -> None:
    named = to_blame(failed(), ["step 1", line], at=AT)
    if what:
        assert [node.name for node in named] == ["lrdn0042"] and what in named[0].reason


@pytest.mark.parametrize(
    "line",
    [
        "lrdn0042: RuntimeError: shapes do not match",
        "lrdn0099: NVRM: Xid (PCI:0000:8f:00): 79, GPU has fallen off the bus",
        "NCCL WARN Call to ibv_modify_qp failed",
        "lrdn00421: Xid: 79",
        "lrdn0042: NVRM: Xid (PCI:0000:8f:00): 13, Graphics Exception",
    ],
)
def test_a_programs_own_error_or_another_jobs_node_accuses_nobody(line: str) -> None:
    assert to_blame(failed(), [line], at=AT) == ()


def test_a_lost_node_is_to_blame_alone_and_a_fault_on_all_of_them_is_the_fabrics() -> None:
    assert [n.name for n in to_blame(failed("node-failed", "", ("n1",)), [], at=AT)] == ["n1"]
    assert to_blame(failed("node-failed"), [], at=AT) == (), "which of three, nobody says"
    everywhere = [f"{node}: mlx5_0 link down" for node in NODES]
    assert to_blame(failed(), everywhere, at=AT) == ()
