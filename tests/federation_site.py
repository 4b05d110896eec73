"""Two real Slurm clusters on this machine with one accounting for both, and an sshd at each.

Hansa: four nodes, partitions `boost` and `debug`. Lübeck: two nodes, partition `gpu`, a QoS that jobs must name, and no
comments in accounting. For people: `python -m tests.federation_site up DIR`, then `SLURM_CONF=DIR/a/slurm.conf sinfo`
or `DIR/b/slurm.conf`, and `python -m tests.federation_site down DIR`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import daemons, needs, slurm_site, sshd
from tests.slurm_services import Services
from tests.slurm_site import HANSA, LUEBECK, SlurmSite
from tests.sshd import Sshd


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    root: Path
    a: SlurmSite
    b: SlurmSite
    sshd_a: Sshd
    sshd_b: Sshd

    @property
    def sites(self) -> tuple[SlurmSite, SlurmSite]:
        return self.a, self.b

    @property
    def services(self) -> Services:
        return self.a.services


def missing() -> list[str]:
    return slurm_site.missing() + sshd.missing()


def up(root: Path) -> Federation:
    a, b = slurm_site.up(root, (("a", HANSA), ("b", LUEBECK)))
    try:
        doors = [_open(site) for site in (a, b)]
    except BaseException:
        down(root)
        raise
    return Federation(root=root, a=a, b=b, sshd_a=doors[0], sshd_b=doors[1])


def down(root: Path) -> None:
    slurm_site.down(root)


@pytest.fixture(scope="session")
def federation() -> Iterator[Federation]:
    """Both clusters, or a skip that says what is missing; with CI=true a missing Slurm is a failure."""
    reasons = missing()
    if reasons:
        needs.lacking("no Slurm here: " + "; ".join(reasons))
    root = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    try:
        yield up(root)
    finally:
        down(root)


@pytest.fixture(scope="session", name="slurm_site")
def first_site(federation: Federation) -> SlurmSite:
    """The first cluster, for tests that need one."""
    return federation.a


def _open(site: SlurmSite) -> Sshd:
    """The site's sshd: whoever comes in has the site's Slurm around."""
    server = sshd.up(site.root / "ssh", site.environment)
    assert server.process is not None
    daemons.remember(site.root, "sshd", server.process.pid)
    return server


if __name__ == "__main__":
    sys.exit(slurm_site.main(sys.argv[1:], "tests.federation_site", {"up": up, "down": down}))
