"""Where the embedded service is refused, and how a configured one is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.cli import connect, embedded
from hanse.cli.home import home
from hanse.contracts.errors import UsageError
from hanse.files.places import file_system, on_network
from tests.cli.conftest import Hanse

MOUNTS = """\
/dev/vda / ext4 rw 0 0
nfs.example:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/fast\\040disk xfs rw 0 0
lustre@tcp:/work /work/lustre lustre rw 0 0
user@host: /mnt/far fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/hanse", "ext4", None),
        ("/home/ada/.local/share/hanse", "nfs4", "nfs4"),
        ("/home/fast disk/hanse", "xfs", None),
        ("/home/fast", "nfs4", "nfs4"),
        ("/work/lustre/ada", "lustre", "lustre"),
        ("/work/lustrous", "ext4", None),
        ("/mnt/far", "fuse.sshfs", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_nearest_mount(path: str, kind: str, network: str | None) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert on_network(Path(path), MOUNTS) == network


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "SLURM_CONF"])
def test_on_a_node_of_a_cluster_no_service_is_started_and_the_way_out_is_told(
    hanse: Hanse, own_home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    answer = hanse("status")
    assert answer.code == 2
    assert variable in answer.err
    assert "HANSE_URL" in answer.err
    assert not own_home.exists()


def test_state_on_a_network_file_system_is_refused_and_the_way_out_is_told(
    hanse: Hanse, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "on_network", lambda path: "lustre")
    answer = hanse("status")
    assert answer.code == 2
    assert "lustre" in answer.err
    assert "local disk" in answer.err
    assert not own_home.exists()


def test_half_a_configuration_is_named(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSE_URL", "http://127.0.0.1:9")
    answer = hanse("status")
    assert answer.code == 2
    assert "HANSE_TOKEN is not" in answer.err


def test_the_environment_comes_before_the_file_and_the_file_before_the_embedded_service(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_home.mkdir()
    assert connect.configured() is None
    home().config.write_text('url = "https://hanse.example/"\ntoken = "from-file"\n')
    assert connect.configured() == ("https://hanse.example", "from-file", "home/config.toml")
    monkeypatch.setenv("HANSE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HANSE_TOKEN", "from-environment")
    assert connect.configured() == ("http://127.0.0.1:9", "from-environment", "environment")


@pytest.mark.parametrize("text", ["url = ", 'url = "https://hanse.example"\n', "url = 1\ntoken = 2\n"])
def test_a_damaged_configuration_is_one_message(own_home: Path, text: str) -> None:
    own_home.mkdir()
    home().config.write_text(text)
    with pytest.raises(UsageError) as caught:
        connect.configured()
    assert caught.value.where == "home/config.toml"


def test_a_service_that_does_not_answer_is_one_message(hanse: Hanse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HANSE_TOKEN", "x")
    answer = hanse("status")
    assert answer.code == 1
    assert answer.err.startswith("Error: ")
    assert "http://127.0.0.1:9" in answer.err
    assert "Traceback" not in answer.err


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_service() -> None:
    import os

    from hanse.cli.background import alive, describe_self

    mine = describe_self()
    assert alive(mine)
    assert not alive({**mine, "pid": 1})  # not our parent: it may have begun in the same hundredth of a second
    assert not alive({**mine, "birth": "another boot 12345"})
    assert not alive({"pid": os.getpid(), "started_at": mine["started_at"]})
    assert not alive({})
    assert not alive({"pid": "nonsense"})


def test_a_clock_that_was_set_does_not_make_a_live_service_look_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    from hanse.cli.background import alive, describe_self

    mine = describe_self()
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: mine["started_at"] + 18.0)
    assert alive(mine)


def test_what_a_program_said_before_it_was_started_anew_is_not_given_as_its_last_words(tmp_path: Path) -> None:
    from hanse.cli.background import last_lines

    log = tmp_path / "service.log"
    log.write_text("old trouble\n")
    begins = log.stat().st_size
    log.write_text("old trouble\nnew trouble\n")
    assert last_lines(log, begins) == ("new trouble",)


def test_stopping_waits_for_a_command_that_is_starting_what_is_stopped(own_home: Path) -> None:
    import threading

    from hanse.cli import background

    said: list[list[str]] = []
    (own_home / "service").mkdir(parents=True)
    stopping = threading.Thread(target=lambda: said.append(embedded.stop_all()))
    with background.only_one(own_home / "service" / "start.lock"):
        stopping.start()
        stopping.join(0.2)
        assert not said
    stopping.join(10)
    assert said == [[]]
