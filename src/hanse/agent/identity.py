"""Which Unix user submits a job, and how: as the agent itself, or by a narrow sudo rule.

Looking at the queue is done by the agent itself; only what makes or ends a job is done as the user it belongs to. A
run's folder belongs to that user and to a group that the agent shares, so that both can read and write in it.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hanse.contracts.errors import SiteError
from hanse.contracts.policy import IdentityMap
from hanse.schedulers.base import Scheduler

INSTALL = "/usr/bin/install"
KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
"""Variables that the sudo rule lets through to the user's commands; sudo drops all others."""
FOLDER_MODE = 0o2770


def command_as(user: str, argv: Sequence[str], *, root: bool = False) -> list[str]:
    """`argv` as another user. An agent that runs as root needs no sudo; what it starts cannot become root again."""
    if not root:
        return ["sudo", "-n", "-u", user, "--", *argv]
    try:
        group = pwd.getpwnam(user).pw_gid
    except KeyError:
        raise SiteError(f"there is no Unix user {user}", where="identity", fix="useradd, or mend the map") from None
    return ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--no-new-privs", *argv]


@dataclass(slots=True)
class Schedulers:
    """The machine's scheduler, for each Unix user it is spoken to as.

    `make(user, environment)` gives the scheduler that acts as `user`, with that environment beside its own.
    """

    own: Scheduler
    make: Callable[[str, Mapping[str, str]], Scheduler] | None = None
    _made: dict[str, Scheduler] = field(default_factory=dict)

    def of(self, user: str | None) -> Scheduler:
        """Raises SiteError if this machine's scheduler can be spoken to as nobody else."""
        if user is None:
            return self.own
        if self.make is None:
            raise SiteError(
                f"jobs here cannot be submitted as {user}: only Slurm knows users",
                where="identity",
                fix="Use identity.mode: own in the policy file.",
            )
        if user not in self._made:
            self._made[user] = self.make(user, {})
        return self._made[user]


def lay_folder(
    attempt: Path, run: Path, user: str | None, identity: IdentityMap, beside: Sequence[Path] = ()
) -> None:  # fmt: skip
    """Make a run's folders, with those `beside`, so that the job's user and the agent can both work there.

    Nothing to do for one's own.
    """
    if user is None or identity.group is None:
        return
    try:
        group = grp.getgrnam(identity.group).gr_gid
        for folder in (run.parent, run, attempt.parent, attempt, *beside):
            if folder.exists():
                continue
            if folder != run.parent:
                lay = [INSTALL, "-d", "-m", f"{FOLDER_MODE:o}", "-g", identity.group, str(folder)]
                command = command_as(user, lay, root=os.geteuid() == 0)
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            else:
                folder.mkdir(parents=True, exist_ok=True)  # another run's is being laid at the same time
                os.chown(folder, -1, group)
                folder.chmod(FOLDER_MODE)
    except KeyError:
        raise SiteError(f"there is no Unix group {identity.group}", where="identity.group", fix="groupadd") from None
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise SiteError(f"the run's folder cannot be made as {user}: {said}", where=str(run)) from error


def sudoers(agent: str, identity: IdentityMap, find: Callable[[str], str | None]) -> str:
    """The rule that mode sudo needs, for /etc/sudoers.d/: those users, those commands, nothing else."""
    users = sorted({*identity.users.values(), *identity.projects.values()})
    commands = [find(name) or f"/usr/bin/{name}" for name in ("sbatch", "scancel")]
    lay = f"{INSTALL} -d -m {FOLDER_MODE:o} -g {identity.group} *"
    return "\n".join(
        [
            "# Made by: hanse agent --sudoers. Put it into /etc/sudoers.d/hanse (mode 0440) and check: visudo -c",
            f"Cmnd_Alias HANSE = {', '.join([*commands, lay])}",
            f'Defaults!HANSE env_keep += "{" ".join(KEPT)}", !requiretty',
            f"{agent} ALL=({', '.join(users)}) NOPASSWD: HANSE",
            "",
        ]
    )
