"""A start-up's whole way in the browser: from the landing page through the fast lane to a job that runs and ends."""

from __future__ import annotations

import json
import re
import shutil
import socket
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from hanse.contracts.application import Draft, MonthOfUse
from hanse.contracts.base import now
from hanse.contracts.machine import Link, Machine
from hanse.rules.gate import questions
from hanse.service.forms import values
from hanse.service.forms.fields import SECTIONS
from tests.codes import code_of
from tests.contracts.examples import EXAMPLES
from tests.programme.test_form import DRAFT
from tests.reporting.browser import chromium
from tests.stack import MACHINE
from tests.team import PASSWORD, ROOT, Portal
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.torch, pytest.mark.timeout(400)]
TYPED = ("basics", "project", "applicant", "organisation", "compute", "workflow", "data", "declarations")
GOOD = ("civilian-purpose", "data-rights")


def served(host: Any) -> str:
    """A team's service with its people and the centre's site; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, server = f"http://127.0.0.1:{port}", host("server", DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    server.run("hanse manage prepare")
    server.run("hanse manage createsuperuser --noinput --username=admin --email=admin@example.eu")
    server.start(f"hanse serve --port {port}")

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/healthz").is_success
        return False

    until(answers, within_s=60, what="the service", every_s=0.2)
    admin = Portal(url, "admin")
    same = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    people = {
        name: admin.record("access/person", "memberships", username=name, **same)
        for name in ("ida", "otto", "vera", "olga")
    }
    for name in ("otto", "vera"):
        page = f"/admin/access/person/{people[name]}/change/"
        groups = re.search(r'value="(\d+)"[^>]*>officers<', admin.http.get(page).text)
        assert groups is not None
        counts = {f"memberships-{count}": "0" for count in ("TOTAL_FORMS", "INITIAL_FORMS")}
        admin.post(page, username=name, groups=groups.group(1), is_active="on", **counts, **joined())
    runs_it = {"memberships-TOTAL_FORMS": "1", "memberships-0-person": people["olga"], "memberships-0-role": "operator"}
    centre = admin.record(
        "access/organisation", "memberships", name="Centre", kind="public", country="SE", public_id="", **runs_it
    )
    admin.record("runs/site", public_id="my-site", name="The centre", organisation=centre)
    return url


def joined() -> dict[str, str]:
    at = now()
    return {"date_joined_0": f"{at:%Y-%m-%d}", "date_joined_1": f"{at:%H:%M:%S}"}


def machine_of_the_site() -> Machine:
    """Two nodes of one core each, which the planner may reckon with."""
    core = MACHINE.accelerator.model_copy(update={"memory_bytes": 8_000_000_000})
    loopback = Link(name="loopback", bytes_per_s=1e9, latency_s=5e-5)
    return MACHINE.model_copy(
        update={"status": "reference", "accelerator": core, "in_node": loopback, "between_nodes": loopback}
    )


def with_agent(host: Any, url: str) -> None:
    """The centre's machine, with its agent, as its operator enrols it."""
    token = Portal(url, "olga").token("enrolment")
    answer = httpx.post(
        f"{url}/api/v1/agents/enrol",
        json={"machine": "local", "site": "my-site"},
        headers={"Authorization": f"Bearer {token}"},
    )
    machine = host("machine", HANSE_URL=url, HANSE_TOKEN=answer.raise_for_status().json()["token"])
    (machine.home / "local.yaml").write_text(machine_of_the_site().to_json())
    machine.start("hanse agent --machine local.yaml")


def enter(page: Page, name: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    secret = page.locator("code").filter(has_text=re.compile("^[A-Z2-7]{16,}$"))
    if "factor" in page.url:  # an officer's first visit
        page.locator("[name=code]").fill(code_of(secret.first.inner_text()))
        page.get_by_role("button", name="Set it up").click()


def fill(page: Page, section: str, draft: Draft) -> None:
    """Type a section as a person would, and save it."""
    whole = values.plain(draft)
    for field in SECTIONS[section]:
        held = values.at(whole, field.path)
        if field.kind == "rows":
            for number, row in enumerate(held or ()):
                for cell in field.rows:
                    if row.get(cell.path) is not None:
                        name = f"[name='{field.path}.{number}.{cell.path}']"
                        if not page.locator(name).count():
                            place = page.locator(f"[name^='{field.path}.']").first.locator("xpath=ancestor::fieldset")
                            place.get_by_role("button", name="Save and add a row").click()
                        put(page, name, cell.kind, values.typed(cell, row[cell.path]))
        elif held not in (None, (), [], ""):
            put(page, f"[name='{field.path}']", field.kind, values.typed(field, held))
    page.get_by_role("button", name="Save and go on").click()


def put(page: Page, name: str, kind: str, text: str) -> None:
    place = page.locator(name)
    if place.first.get_attribute("type") == "radio":
        place.and_(page.locator(f"[value='{text}']")).check()
    elif kind in ("choice", "yes-no"):
        place.select_option(text)
    elif place.input_value() != text:
        place.fill(text)


def applied(page: Page, url: str, plan: Path) -> str:
    """From the landing page to a sent application; its address."""
    page.goto(f"{url}/")
    page.get_by_role("link", name="Suggest a call").click()
    page.get_by_label("GPU-hours").fill("12,000")
    page.get_by_label("What kind of organisation").select_option("start-up")
    page.get_by_label("Country").fill("SE")
    page.get_by_role("button", name="Suggest a call").click()
    page.get_by_role("heading", name="Fast lane access suits best").wait_for()
    page.get_by_role("link", name="Sign in to apply: Fast lane access").click()
    enter(page, "ida")
    page.get_by_role("button", name="Begin an application: Fast lane access").click()
    page.get_by_role("heading", name="Who applies").wait_for()
    assert page.locator("[name=organisation_kind]").input_value() == "start-up", "what was told is not asked again"
    base = re.sub(r"[^/]+/$", "", page.url)
    months = (MonthOfUse(month=1, gpu_hours=7_000), MonthOfUse(month=2, gpu_hours=5_000))
    compute = DRAFT.whole.compute.model_copy(update={"machine": "local", "gpu_hours": 12_000, "by_month": months})
    since = {"founded": date(2024, 5, 1), "start_up_reason": "Founded in 2024, growing, its model is new."}
    whole = DRAFT.whole.model_copy(
        update={"compute": compute, "organisation": DRAFT.whole.organisation.model_copy(update=since)}
    )
    draft = DRAFT.model_copy(update={"whole": whole, "organisation_kind": "start-up"})
    page.goto(f"{base}compute/")
    page.get_by_label("File of the plan").set_input_files(plan)
    page.get_by_role("button", name="Fill from the plan").click()
    page.get_by_text("from plan").first.wait_for()
    for section in TYPED:
        page.goto(f"{base}{section}/")
        fill(page, section, draft)
    page.goto(f"{base}questions/")
    for question in questions(now().date()):
        said = "yes" if question.id in GOOD else "no"
        page.locator(f"[name='answers.{question.id}'][value='{said}']").check()
    page.get_by_role("button", name="Save and go on").click()
    page.goto(f"{base}check/")
    page.get_by_role("button", name="Send the application").click()
    page.get_by_text("It is sent.").wait_for()
    page.goto(f"{url}/applications/")
    page.get_by_role("link", name="Nordic 30B").first.click()
    return page.url


def checked(page: Page, url: str) -> None:
    """The check that waits for this person is looked at and passed."""
    page.goto(f"{url}/review/")
    page.get_by_role("link", name="Nordic 30B", exact=True).click()
    page.get_by_label("Reason").fill("Looked at with the applicant.")
    page.get_by_role("button", name="It passes").click()
    page.get_by_text("Nordic 30B: passed").wait_for()


def test_a_start_up_walks_from_the_landing_page_to_a_job_that_runs(host: Any, tmp_path: Path) -> None:
    url = served(host)
    with_agent(host, url)
    plan = tmp_path / "plan.json"
    told = {"plan": json.loads(EXAMPLES["plan"].to_json()), "scaling": json.loads(EXAMPLES["scaling-table"].to_json())}
    plan.write_text(json.dumps(told))
    with chromium() as browser:
        start_up, otto, vera, olga = (browser.new_context().new_page() for _ in range(4))
        application = applied(start_up, url, plan)
        for page, name in ((otto, "otto"), (vera, "vera"), (olga, "olga")):
            page.goto(f"{url}/login/")
            enter(page, name)
        for page in (otto, olga):
            checked(page, url)
        for page in (otto, vera):
            page.goto(application)
        otto.get_by_label("Reason", exact=True).fill("A start-up with a sound plan; the site has room.")
        if otto.get_by_label("Why the gate's findings do not stand").count():
            otto.get_by_label("Why the gate's findings do not stand").fill("Looked at with the applicant.")
        otto.get_by_role("button", name="Propose the award").click()
        vera.reload()
        vera.get_by_role("button", name="Confirm it").click()
        start_up.goto(f"{url}/")
        start_up.get_by_role("heading", name="Launch your first run").first.wait_for()
        assert start_up.get_by_text("12,000").first.is_visible(), "the balance stands on the first screen"
        start_up.goto(f"{url}/tokens/")
        start_up.locator("[name=name]").fill("laptop")
        start_up.get_by_role("button", name="Make a token").click()
        shown = start_up.locator("pre.code").inner_text()
        laptop = host("laptop", **dict(re.findall(r"export (HANSE_\w+)=(\S+)", shown)))
        shutil.copytree(ROOT / "examples" / "stdlib-lm", laptop.home / "mine")
        spec = laptop.home / "mine" / "train.yaml"
        spec.write_text(spec.read_text().replace("tokens: 1024000", "tokens: 61440"))
        laptop.run("hanse launch mine/train.yaml")
        start_up.goto(f"{url}/runs/")
        start_up.get_by_role("link", name="stdlib-lm").first.click()
        start_up.locator("#state", has_text="Running").wait_for(timeout=90_000)
        start_up.locator("#state", has_text="Finished").wait_for(timeout=180_000)
        start_up.goto(f"{url}/")
        assert start_up.get_by_text("stdlib-lm").first.is_visible()
