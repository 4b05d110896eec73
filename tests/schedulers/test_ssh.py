"""A host behind a real sshd: commands, files, a cut connection, certificates, and what is said when it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.schedulers import ssh_certificate
from hanse.schedulers.host import Host, HostUnreachable, LocalHost
from hanse.schedulers.ssh import SshHost
from tests import sshd
from tests.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    running = sshd.up(tmp_path_factory.mktemp("sshd"), {"SITE": "here"})
    yield running
    running.stop()


@pytest.fixture
def behind(server: sshd.Sshd) -> Iterator[SshHost]:
    host = server.host()
    yield host
    host.close()


@pytest.fixture(params=["here", "behind ssh"])
def host(request: pytest.FixtureRequest) -> Host:
    return LocalHost() if request.param == "here" else request.getfixturevalue("behind")


def test_a_command_gets_its_words_input_folder_and_variables_as_they_are(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "a b'c"
    folder.mkdir()
    done = host.run(
        ["sh", "-c", 'pwd; echo "$MINE"; echo "$1"; cat; echo wrong >&2; exit 3', "sh", "it's $HOME\n!"],
        input=b"in\xff", environment={"MINE": "a 'b' $c"}, cwd=folder,
    )  # fmt: skip
    assert done.out == f"{folder}\na 'b' $c\nit's $HOME\n!\nin".encode() + b"\xff"
    assert (done.returncode, done.stderr) == (3, "wrong\n")


def test_a_command_that_is_not_there_or_takes_too_long_raises(host: Host) -> None:
    with pytest.raises(FileNotFoundError):
        host.run(["hanse-no-such-command"])
    with pytest.raises(TimeoutError):
        host.run(["sleep", "60"], timeout_s=0.5)
    assert host.run(["echo", "still here"]).stdout == "still here\n"


def test_files_are_written_whole_listed_and_read_from_where_one_likes(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "it's one"
    host.make_dirs(folder)
    host.make_dirs(folder)
    file, content = folder / "f", bytes(range(256)) * 400
    host.write_atomically(file, b"old")
    host.write_atomically(file, content)
    assert host.list(folder) == ("f",)
    assert (host.exists(file), host.size(file), host.read(file)) == (True, len(content), content)
    assert host.read(file, 255, 3) == content[255:258]
    assert (host.exists(folder / "no"), host.size(folder / "no")) == (False, None)
    with pytest.raises(FileNotFoundError):
        host.read(folder / "no")
    with pytest.raises(FileNotFoundError):
        host.write_atomically(tmp_path / "nowhere" / "f", b"")
    (folder / "empty").touch()
    wanted = {file: 1, folder / "no": 0, folder / "empty": 0, folder: 0}
    assert host.tails(wanted, 300) == {file: content[1:301], folder / "no": None, folder / "empty": b"", folder: None}
    assert host.read_many([file], 10**6) == {file: content}
    host.put(file, folder / "copy")
    host.get(folder / "copy", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_login_gets_the_environment_the_site_sets(behind: SshHost) -> None:
    assert behind.run(["printenv", "SITE"]).stdout == "here\n"


def test_a_cut_connection_is_an_unknown_and_heals_by_itself(server: sshd.Sshd, behind: SshHost, tmp_path: Path) -> None:
    assert behind.run(["true"]).returncode == 0
    (tmp_path / "f").write_text("x")
    server.stop()
    try:
        with pytest.raises(HostUnreachable):
            behind.run(["true"])
        with pytest.raises(HostUnreachable):
            behind.read(tmp_path / "f")
    finally:
        server.start()

    def healed() -> bool:
        try:
            return behind.read(tmp_path / "f") == b"x"
        except HostUnreachable:
            return False

    until(healed, within_s=20, what="the connection")


def test_a_command_cut_while_it_runs_is_an_unknown(server: sshd.Sshd, behind: SshHost, tmp_path: Path) -> None:
    behind.connect()
    with pytest.raises(HostUnreachable):
        behind.run(["sh", "-c", f"touch {tmp_path}/on; kill -9 $PPID; sleep 60"], timeout_s=30)
    assert (tmp_path / "on").exists()


def test_a_certificate_opens_the_door_and_tells_its_end(server: sshd.Sshd) -> None:
    host = server.host(server.certified("welcome", "-1m:+1h"))
    try:
        assert host.run(["true"]).returncode == 0
        assert host.certificate is not None and host.certificate.key_id == "welcome"
        assert host.certificate.ends is not None
        left = host.certificate.ends - datetime.now(UTC)
        assert timedelta(minutes=55) < left <= timedelta(hours=1)
        assert host.certificate.fault(datetime.now(UTC)) == ""
    finally:
        host.close()


@pytest.mark.parametrize("case", ["expired", "unknown key", "unknown host key", "nobody there", "no key"])
def test_each_refusal_is_one_clear_message(server: sshd.Sshd, tmp_path: Path, case: str) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    hosts = {
        "expired": lambda: server.host(server.certified("late", "-2h:-1h")),
        "unknown key": lambda: server.host(sshd.keypair(tmp_path / "stranger")),
        "unknown host key": lambda: server.host(known_hosts=empty),
        "nobody there": lambda: SshHost("nobody@127.0.0.1", port=1, config=tmp_path / "none", connect_within_s=5),
        "no key": lambda: server.host(tmp_path / "not-there"),
    }
    words = {
        "expired": "the certificate ended at 2",
        "unknown key": "it refuses the login",
        "unknown host key": "its host key is not the one in known_hosts",
        "nobody there": "no connection",
        "no key": "the key cannot be read",
    }
    host = hosts[case]()
    try:
        with pytest.raises(HostUnreachable) as refused:
            host.connect()
        assert refused.value.what.startswith(words[case]) and refused.value.fix and refused.value.where == host.name
    finally:
        host.close()


@pytest.mark.parametrize("kind", [["ed25519"], ["rsa", "-b", "2048"], ["ecdsa", "-b", "256"]])
def test_the_end_of_a_certificate_is_read_for_every_kind_of_key(
    server: sshd.Sshd, tmp_path: Path, kind: list[str]
) -> None:
    key = tmp_path / "key"
    sshd.keygen("-q", "-t", *kind, "-N", "", "-f", key)
    sshd.keygen("-s", server.authority, "-I", "who", "-V", "20260101000000Z:20270101000000Z", f"{key}.pub")
    found = ssh_certificate.read(ssh_certificate.beside(key))
    assert found == ("who", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="holds no OpenSSH certificate"):
        ssh_certificate.read(tmp_path / "key.pub")


def test_the_ends_of_files_are_read_in_one_exchange(host: Host, tmp_path: Path) -> None:
    long, short, gone = tmp_path / "long", tmp_path / "short", tmp_path / "gone"
    long.write_bytes(bytes(range(200)))
    short.write_bytes(b"ab")
    found = host.tails({long: -10, short: -10, gone: -10}, 8)
    assert found == {long: bytes(range(190, 198)), short: b"ab", gone: None}


def test_a_jump_is_gone_through_with_the_same_key_and_known_hosts_and_heals_too(
    server: sshd.Sshd, tmp_path: Path
) -> None:
    jump = sshd.up(tmp_path / "jump")
    shutil.copy(server.root / "authorized_keys", jump.root / "authorized_keys")
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text() + jump.known_hosts.read_text())
    host = SshHost(
        server.login, port=server.port, key=server.key, jump=f"{jump.login}:{jump.port}", known_hosts=known,
        config=tmp_path / "none", connect_within_s=10,
    )  # fmt: skip
    came_from = ["sh", "-c", "echo ${SSH_CONNECTION%% *}"]
    try:
        assert host.run(came_from).returncode == 0
        jump.stop()
        with pytest.raises(HostUnreachable):
            host.run(came_from)
        jump.start()

        def healed() -> bool:
            try:
                return host.run(came_from).returncode == 0
            except HostUnreachable:
                return False

        until(healed, within_s=60, what="the connection through the jump host")
    finally:
        host.close()
        jump.stop()


def test_whoever_named_a_command_for_a_new_certificate_is_told_to_run_it(server: sshd.Sshd, tmp_path: Path) -> None:
    key = server.certified("ended", "-2h:-1h")
    host = SshHost(
        server.login, port=server.port, key=key, known_hosts=server.known_hosts, config=tmp_path / "none",
        renew="step ssh certificate me",
    )  # fmt: skip
    try:
        with pytest.raises(HostUnreachable) as refused:
            host.connect()
        assert refused.value.fix == "Run 'step ssh certificate me' and it goes on by itself."
    finally:
        host.close()
