"""What clusters share: munge, MariaDB and slurmdbd, with the associations of all of them in one database."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests import daemons
from tests.waiting import until

PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "sacctmgr")
USERS = ("munge", "mysql", "slurm")
_QUICK = (
    "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0", "--innodb-lock-wait-timeout=900",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    root: Path
    database_port: int
    port: int

    @property
    def munge_socket(self) -> Path:
        return self.root / "munge" / "s"

    @property
    def authentication(self) -> str:
        return f"AuthType=auth/munge\nAuthInfo=socket={self.munge_socket}"

    def start(self) -> None:
        self._start_munge()
        self._start_database()
        self._configure()
        self.start_slurmdbd()

    def start_slurmdbd(self) -> None:
        environment = {"SLURM_CONF": str(self.root / "slurmdbd.conf")}
        daemons.start(self.root, "slurmdbd", ["slurmdbd", "-D"], user="slurm", environment=environment)
        until(lambda: daemons.answers(self.port), within_s=30, what="slurmdbd")

    def kill_slurmdbd(self) -> None:
        daemons.kill(self.root, "slurmdbd")

    def register(self, orders: Iterable[str], configuration: Path) -> None:
        """All associations in one conversation, as every call of sacctmgr costs half a second."""
        done = subprocess.run(
            ["sacctmgr", "-i"], input="\n".join([*orders, "quit\n"]), capture_output=True, text=True, timeout=60,
            check=False, env=daemons.surroundings({"SLURM_CONF": str(configuration)}),
        )  # fmt: skip
        said = done.stdout + done.stderr
        if done.returncode or "rror" in said or "roblem" in said:
            raise RuntimeError(f"sacctmgr did not register the clusters: {said}")

    def _start_munge(self) -> None:
        folder = daemons.folder(self.root / "munge", owner="munge", mode=0o755)
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        daemons.own(key, "munge")
        options = {"key-file": key, "socket": self.munge_socket, "pid-file": folder / "pid",
                   "seed-file": folder / "seed", "log-file": folder / "munged.log"}  # fmt: skip
        command = ["munged", "--foreground", "--num-threads=8", *(f"--{k}={v}" for k, v in options.items())]
        daemons.start(self.root, "munged", command, user="munge")

    def _start_database(self) -> None:
        data = daemons.folder(self.root / "db", owner="mysql", mode=0o700)
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db",
             "--auth-root-authentication-method=normal", *_QUICK[:2]],
            env=daemons.surroundings(), capture_output=True, check=True, timeout=120,
        )  # fmt: skip
        first = data / "first.sql"
        first.write_text("CREATE USER 'slurm'@'127.0.0.1';\nGRANT ALL ON slurm_acct.* TO 'slurm'@'127.0.0.1';\n")
        daemons.own(first, "mysql")
        command = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={data}/s", f"--pid-file={data}/pid",
                   f"--port={self.database_port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
                   f"--init-file={first}", *_QUICK]  # fmt: skip
        daemons.start(self.root, "mariadbd", command, user="mysql")
        until(lambda: daemons.answers(self.database_port), within_s=60, what="MariaDB")
        until(self.munge_socket.exists, within_s=20, what="munge's socket")

    def _configure(self) -> None:
        run = daemons.folder(self.root / "dbd", owner="slurm", mode=0o755)
        path = self.root / "slurmdbd.conf"
        path.write_text(
            f"{self.authentication}\nDbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={self.port}\nSlurmUser=slurm\n"
            f"LogFile={run}/slurmdbd.log\nPidFile={run}/slurmdbd.pid\nStorageType=accounting_storage/mysql\n"
            f"StorageHost=127.0.0.1\nStoragePort={self.database_port}\nStorageUser=slurm\nStorageLoc=slurm_acct\n"
        )
        path.chmod(0o600)
        daemons.own(path, "slurm")
