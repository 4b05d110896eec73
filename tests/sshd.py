"""A real sshd on a port of its own, with its own host key, a test CA, and the environment that its logins get."""

from __future__ import annotations

import getpass
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hanse.schedulers.ssh import SshHost
from tests import daemons, needs
from tests.waiting import until

SSHD = "/usr/sbin/sshd"


@dataclass
class Sshd:
    """Its folder must be short-lived and private; `key` may log in, and whoever has a certificate of `authority`."""

    root: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> Path:
        return self.root / "user"

    @property
    def authority(self) -> Path:
        return self.root / "ca"

    @property
    def known_hosts(self) -> Path:
        return self.root / "known_hosts"

    @property
    def login(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    def host(self, key: Path | None = None, known_hosts: Path | None = None) -> SshHost:
        return SshHost(
            self.login, port=self.port, key=key or self.key, known_hosts=known_hosts or self.known_hosts,
            config=self.root / "no-config", connect_within_s=10,
        )  # fmt: skip

    @property
    def facts(self) -> dict[str, Any]:
        """What `host()` is made of, for another process."""
        files = {"key": self.key, "known_hosts": self.known_hosts, "config": self.root / "no-config"}
        return {"login": self.login, "port": self.port, **{name: str(path) for name, path in files.items()}}

    def certified(self, name: str, valid: str) -> Path:
        """A key that only its certificate makes welcome; `valid` as ssh-keygen -V has it."""
        key = keypair(self.root / name)
        keygen("-s", self.authority, "-I", name, "-n", getpass.getuser(), "-V", valid, key.with_name(f"{name}.pub"))
        return key

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(self.root / "sshd_config")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.root / "log").open("ab"),
        )  # fmt: skip
        until(self._answers, within_s=20, what="sshd")

    def stop(self) -> None:
        """Kill it with its sessions, as a cut of the network would."""
        if self.process is None:
            return
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return probe.recv(4) == b"SSH-"
        return False


def missing() -> list[str]:
    """Why none can be started here; empty if it can."""
    return daemons.missing(("sshd", "ssh-keygen"), ())


def up(root: Path, environment: Mapping[str, str] | None = None) -> Sshd:
    """Start one, or skip the test that asks; with CI=true a missing sshd is a failure."""
    if reasons := missing():
        needs.lacking("no sshd here: " + "; ".join(reasons))
    root.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = Sshd(root, int(probe.getsockname()[1]), environment or {})
    for name in ("host", "ca", "user"):
        keypair(root / name)
    (root / "authorized_keys").write_text((root / "user.pub").read_text())
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {(root / 'host.pub').read_text()}")
    variables = " ".join(f'{name}="{value}"' for name, value in server.environment.items())
    (root / "sshd_config").write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {root}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {root}/authorized_keys\nTrustedUserCAKeys {root}/ca.pub\nPasswordAuthentication no\n"
        f"PermitRootLogin yes\nSubsystem sftp internal-sftp\n{'SetEnv ' + variables if variables else ''}\n"
    )
    server.start()
    return server


def keypair(path: Path) -> Path:
    keygen("-q", "-t", "ed25519", "-N", "", "-f", path)
    return path


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", *map(str, arguments)], check=True, capture_output=True, timeout=30)
