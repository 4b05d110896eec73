"""A team's service on PostgreSQL, a real Slurm machine that joins it, a user's run on it: as the how-to pages say."""

from __future__ import annotations

import json
import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from hanse.contracts.base import now
from hanse.rules.gate import questions
from tests import needs, postgres
from tests.docs.test_docs import DOCS, ROOT, commands
from tests.slurm_site import ACCOUNT, SlurmSite
from tests.team import PASSWORD, Portal
from tests.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]
GOOD = ("civilian-purpose", "data-rights")
TEAM, SLURM = (DOCS / "how-to" / name for name in ("serve-a-team.md", "use-a-slurm-machine.md"))


def the(page: Path, beginning: str) -> str:
    return next(command for command in commands(page) if command.startswith(beginning))


def test_a_team_serves_itself_joins_a_slurm_machine_and_runs_on_it(host: Any, slurm_site: SlurmSite) -> None:
    if not postgres.BINARIES:
        needs.lacking("PostgreSQL is not installed (apt-get install postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    (alone,) = set(re.findall(r"HANSE_AWARDS_BY=1", TEAM.read_text()))  # as the page sets it for a lonely officer
    server = host(
        "server", DATABASE_URL=postgres.up(), DJANGO_SUPERUSER_PASSWORD=PASSWORD, **dict([alone.split("=")])
    )  # fmt: skip
    server.run(the(TEAM, "hanse manage prepare"))
    server.run(f"{the(TEAM, 'hanse manage createsuperuser')} --noinput --username=admin --email=admin@example.eu")
    server.start(the(TEAM, "hanse serve").replace("8000", str(port)))

    def serves() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/login/").status_code == 200
        return False

    until(serves, within_s=60, what=f"the service; its log: {(server.home / 'log').read_text()}", every_s=0.2)

    admin = Portal(url, "admin")
    people = {}
    for name in ("olga", "ida"):
        people[name] = admin.record(
            "access/person",
            "memberships",
            username=name,
            password1=PASSWORD,
            password2=PASSWORD,
            usable_password="true",
        )
    for name, kind, person, role in (("Centre", "public", "olga", "operator"), ("Norrlyd", "start-up", "ida", "owner")):
        member = {"memberships-TOTAL_FORMS": "1", "memberships-0-person": people[person], "memberships-0-role": role}
        number = admin.record(
            "access/organisation", "memberships", name=name, kind=kind, country="SE", **{"public_id": "", **member}
        )
        if role == "operator":
            admin.record("runs/site", public_id="my-site", name="The centre", organisation=number)

    operator = host("operator", HANSE_URL=url, HANSE_TOKEN=Portal(url, "olga").token("enrolment"))
    enrolled = json.loads(operator.run(the(SLURM, "curl")))
    login_node = host("login", HANSE_URL=url, HANSE_TOKEN=enrolled["token"], **slurm_site.environment)
    (login_node.home / "hansa.yaml").write_text(slurm_site.machine.model_copy(update={"status": "reference"}).to_json())
    login_node.start(the(SLURM, "hanse agent"))

    user = host("user", HANSE_URL=url, HANSE_TOKEN=Portal(url, "ida").token("laptop"))
    shutil.copytree(ROOT / "examples" / "any-command", user.home / "mine")
    spec = user.home / "mine" / "train.yaml"
    changes = {
        "[local]": "[hansa]",
        "where:\n": f"where:\n  account: {ACCOUNT}\n",
        "--points 2000000 ": "--points 20000000 ",  # some seconds, as Slurm counts whole ones only
    }
    text = spec.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    spec.write_text(text)
    shutil.copy(login_node.home / "hansa.yaml", spec.parent)
    dry = user.run(
        the(SLURM, "hanse launch").replace("train.yaml", "mine/train.yaml").replace("hansa.yaml", "mine/hansa.yaml")
    )
    assert "#SBATCH" in dry and ACCOUNT in dry

    until(lambda: "hansa" in admin.http.get("/admin/runs/machine/").text, within_s=60, what="the machine")
    answers = " ".join(f"--answer {one.id}={'yes' if one.id in GOOD else 'no'}" for one in questions(now().date()))
    sent = json.loads(user.run(
        "hanse apply --call playground --organisation Norrlyd --kind start-up --country SE --title Lights --purpose "
        f"'A small test.' --machine hansa --gpu-hours 10 --months 1 --email ida@example.eu {answers} --json"
    ))  # fmt: skip
    admin.check(sent["id"], "administrative")
    Portal(url, "olga").check(sent["id"], "technical")
    told = admin.post(f"/applications/{sent['id']}/decision/", grant="", gpu_hours="10", reason="A fine small test.")
    assert "is granted" in told
    user.run("hanse launch mine/train.yaml --watch")
    (run,) = json.loads(user.run("hanse status --json"))
    assert run["state"] == "finished"
    jobs = [attempt["job_id"] for leg in run["legs"] for attempt in leg["attempts"]]
    held = slurm_site.held()
    assert run["used_accelerator_seconds"] == sum(held[job] for job in jobs) > 0
    assert "pi" in user.run("hanse logs any-command")
