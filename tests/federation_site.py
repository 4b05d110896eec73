"""Two real Slurm clusters on this machine with one accounting for both, and an sshd at each.

Hansa: four nodes, partitions `boost` and `debug`. Lübeck: two nodes, partition `gpu`, a QoS that jobs must name, and no
comments in accounting. For people: `python -m tests.federation_site up DIR`, then `SLURM_CONF=DIR/a/slurm.conf sinfo`
or `DIR/b/slurm.conf`, `ssh -F DIR/a/ssh/config site`, and `python -m tests.federation_site down DIR`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import daemons, slurm_site
from tests.slurm_services import Services
from tests.slurm_site import HANSA, LUEBECK, SlurmSite
from tests.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An sshd of a site: whoever comes in has the site's Slurm around. Root enters with `key`."""

    folder: Path
    port: int
    user: str = "root"

    @property
    def key(self) -> Path:
        return self.folder / "id"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def client_config(self) -> Path:
        """For `ssh -F`; the host's name in it is `site`."""
        return self.folder / "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    root: Path
    a: SlurmSite
    b: SlurmSite
    door_a: Door
    door_b: Door

    @property
    def sites(self) -> tuple[SlurmSite, SlurmSite]:
        return self.a, self.b

    @property
    def services(self) -> Services:
        return self.a.services


def missing() -> list[str]:
    return slurm_site.missing() + daemons.missing(("sshd", "ssh-keygen"), ())


def up(root: Path) -> Federation:
    a, b = slurm_site.up(root, (("a", HANSA), ("b", LUEBECK)))
    try:
        ports = daemons.free_ports(2)
        doors = [_open(site, port) for site, port in zip((a, b), ports, strict=True)]
    except BaseException:
        down(root)
        raise
    return Federation(root=root, a=a, b=b, door_a=doors[0], door_b=doors[1])


def down(root: Path) -> None:
    slurm_site.down(root)


@pytest.fixture(scope="session")
def federation() -> Iterator[Federation]:
    """Both clusters, or a skip that says what is missing; with CI=true a missing Slurm is a failure."""
    reasons = missing()
    if reasons:
        message = "no Slurm here: " + "; ".join(reasons)
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    root = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    try:
        yield up(root)
    finally:
        down(root)


@pytest.fixture(scope="session", name="slurm_site")
def first_site(federation: Federation) -> SlurmSite:
    """The first cluster, for tests that need one."""
    return federation.a


def _open(site: SlurmSite, port: int) -> Door:
    """Start the site's sshd."""
    folder = daemons.folder(site.root / "ssh", owner="root", mode=0o700)
    door = Door(folder=folder, port=port)
    for name in ("host_key", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=30)
    (folder / "authorized_keys").write_text((folder / "id.pub").read_text())
    kind, key, *_ = (folder / "host_key.pub").read_text().split()
    door.known_hosts.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    door.client_config.write_text(
        f"Host site\n  HostName 127.0.0.1\n  Port {port}\n  User {door.user}\n  IdentityFile {door.key}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {door.known_hosts}\n  BatchMode yes\n"
    )
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile {folder}/pid\nUsePAM no\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\nMaxStartups 100\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nSubsystem sftp internal-sftp\n"
        f"SetEnv SLURM_CONF={site.configuration}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    program = next(path for place in daemons.SBIN.split(":") if (path := Path(place) / "sshd").exists())
    daemons.start(
        site.root, "sshd", [str(program), "-D", "-e", "-f", str(configuration)], user="root",
        environment=site.environment,
    )  # fmt: skip
    until(lambda: daemons.answers(port), within_s=20, what=f"the sshd of {site.cluster.name}")
    return door


if __name__ == "__main__":
    sys.exit(slurm_site.main(sys.argv[1:], "tests.federation_site", {"up": up, "down": down}))
