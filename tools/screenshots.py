"""The pictures of docs/img/pages/ and the page docs/reference/pages.md, from tools/pages.yaml. Run by hand.

    PYTHONPATH=src python tools/screenshots.py             every picture, and the page
    PYTHONPATH=src python tools/screenshots.py /runs/ ...  these pictures only, and the page
    PYTHONPATH=src python tools/screenshots.py --page      the page only; needs no browser

Needs Debian's chromium and Pillow (`pip install pillow`). The pages show the permission matrix's world, and more in it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
LIST, PAGE, PICTURES = ROOT / "tools/pages.yaml", ROOT / "docs/reference/pages.md", ROOT / "docs/img/pages"
WIDTH, HEIGHT, MOST_BYTES = 1280, 1000, 60_000
COLOURS = (64, 48, 32, 24, 16, 8)
WHO = {
    "nobody": "everyone, without signing in", "newcomer": "everyone who signed in", "owner": "its organisation",
    "foreign": "other organisations", "operator": "operators of the machine", "officer": "officers",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    address: str
    title: str
    role: str
    words: str

    @property
    def picture(self) -> str:
        """`/runs/{run_id}/stop/` is `runs-run_id-stop.png`."""
        plain = self.address.strip("/").replace("{", "").replace("}", "").replace("/", "-").replace(".", "-")
        return f"{plain or 'home'}.png"


def listed() -> list[Page]:
    given = yaml.safe_load(LIST.read_text("utf-8"))
    return [
        Page(address=address, title=group["title"], role=group["as"], words=words)
        for group in given["groups"]
        for address, words in group["pages"].items()
    ]


def no_pages() -> dict[str, str]:
    return dict(yaml.safe_load(LIST.read_text("utf-8"))["no_pages"])


def who(answers: dict[str, str]) -> str:
    """In words, of the permission matrix's answers."""
    seen = {role for role, answer in answers.items() if answer == "200"}
    if "nobody" in seen:
        return WHO["nobody"]
    if "newcomer" in seen:
        return WHO["newcomer"]
    named = [words for role, words in WHO.items() if role in seen]
    return ", ".join(named) if named else "administrators"


def written() -> str:
    """docs/reference/pages.md."""
    from tests.service import permissions

    table, title = permissions.table(), ""
    lines = [
        "# Every page", "",
        "<!-- Written by tools/screenshots.py from tools/pages.yaml and tests/service/permissions.txt. -->", "",
        "What people see of a service, by who they are. Whom each page is shown to in every case says",
        "[who may do what](permissions.md). The data in the pictures are invented.",
    ]  # fmt: skip
    for page in listed():
        if page.title != title:
            title = page.title
            lines += ["", f"## {title}"]
        answers = dict(zip(permissions.ROLES, table[f"GET {page.address}"], strict=True))
        lines += [
            "", f"### `{page.address}`", "", page.words, "", f"Seen by: {who(answers)}.", "",
            f"![{page.words.rstrip('.')}](../img/pages/{page.picture}){{ loading=lazy }}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    wanted = [page for page in listed() if not arguments or page.address in arguments]
    if arguments != ["--page"]:
        with served() as (url, sessions, values):
            take(wanted, url, sessions, values)
    PAGE.write_text(written(), "utf-8")
    return 0


@contextmanager
def served() -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """The world behind a server of this process: its address, each role's session, and what stands in addresses."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright runs a loop in this thread
    from tests.service import environment

    environment.set_up()
    from django.conf import settings
    from django.db import connection
    from django.test.utils import setup_test_environment
    from pytest_django.live_server_helper import LiveServer

    setup_test_environment()
    settings.DEBUG = False
    connection.creation.create_test_db(verbosity=0)
    try:
        on = filled_world()
        sessions = {name: client.cookies[settings.SESSION_COOKIE_NAME].value for name, client in on.clients.items()
                    if settings.SESSION_COOKIE_NAME in client.cookies}  # fmt: skip
        server = LiveServer("127.0.0.1")
        try:
            yield server.url, sessions, on.values
        finally:
            server.stop()
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def filled_world() -> Any:
    """The permission matrix's, with runs of every kind, a round with its ranking, and hours that can be awarded."""
    from hanse.contracts.awarding import CapacityOffer
    from hanse.service.access.models import Allocation, Call, Membership
    from hanse.service.awarding import capacity
    from hanse.service.awarding.models import Movement
    from hanse.service.review.models import Panel, Round
    from hanse.service.review.tables import stamp
    from tests.portal import seed
    from tests.reporting import records
    from tests.review.world import AFTER, CUT_OFF, closed_round
    from tests.service import permissions

    on = permissions.stage()
    world = on.world
    Membership.objects.create(person=world.founder, organisation=seed.organisation(), role="owner")
    for name in ("interrupted", "waiting", "failed", "command"):
        seed.run(getattr(records, name)(), world.founder)
    going = seed.run(records.under_way(), world.founder)
    shown = seed.run(records.finished(), world.founder)
    judged = closed_round(world.officer, [5, 5, 4, 4, 3, 3, 2, 1], places=3)
    held = Round.at("playground", CUT_OFF)
    Panel.convene(held, world.officer, members=("rev0", "rev1"), held_on=AFTER.date())
    for one in Allocation.objects.filter(movements=None):
        given = one.granted_accelerator_seconds
        Movement.objects.create(allocation=one, kind="opened", accelerator_seconds=given, actor="officer")
    for name, title in (("with-steps", "Large Scale"), ("ranked", "Grand Challenge")):
        call = Call.objects.get(call_id=name)
        Call.objects.filter(pk=call.pk).update(terms=call.terms.model_copy(update={"title": title}))
    for month, hours in (("2027-01", 12_000), ("2027-02", 20_000), ("2027-03", 20_000)):
        capacity.offer(CapacityOffer(machine="local", month=month, gpu_hours=hours), by=world.officer)
    on.values.update({
        "run_id": shown.public_id, "/runs/{run_id}/stop/": going.public_id, "/review/rounds/{call}": "playground",
        "cut_off": stamp(CUT_OFF), "allocation_id": shown.legs.get().allocation.public_id,
    })  # fmt: skip
    on.values.update(told_and_waiting(world, held, judged))
    return on


def told_and_waiting(world: Any, held: Any, judged: list[Any]) -> dict[str, str]:
    """One who may answer the reviews, one who was declined, some who wait in a lane, and prices; their ids."""
    from hanse.contracts.awarding import Price as PriceTerms
    from hanse.contracts.base import now
    from hanse.service.access.models import Application, Call, Membership
    from hanse.service.awarding.paying import Price
    from tests.review.world import entries

    asked, declined = judged[3], judged[7]
    for one in (asked, declined):
        Membership.objects.create(person=world.founder, organisation=one.organisation, role="owner")
    type(held).objects.filter(pk=held.pk).update(reply_until=now() + timedelta(days=7))
    Application.objects.filter(pk=declined.pk).update(state="declined", decided_at=now() - timedelta(days=3))
    Application.objects.filter(pk=asked.pk).update(state="in-review")
    lane = Call.objects.get(call_id="arrivals")
    Call.objects.filter(pk=lane.pk).update(terms=lane.terms.model_copy(update={"title": "Fast Lane"}))
    for days, one in enumerate(entries(6, call=lane, cut_off=None)):
        sent = now() - timedelta(days=6 - days, hours=3 * days)
        Application.objects.filter(pk=one.pk).update(sent_at=sent, decide_by=sent + timedelta(days=5))
    day = now().date()
    for since, cents in ((day.replace(month=1, day=1), 240), (day + timedelta(days=30), 215)):
        Price.state(PriceTerms(machine="local", from_day=since, cents_per_gpu_hour=cents), by=world.officer)
    return {
        "/review/replies/{application_id}": asked.public_id, "/review/redress/{application_id}": declined.public_id,
    }  # fmt: skip


def take(pages: list[Page], url: str, sessions: dict[str, str], values: dict[str, Any]) -> None:
    """Raises RuntimeError naming what could not be pictured; what could is kept."""
    from tests.reporting.browser import chromium
    from tests.service import permissions

    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong = []
    with chromium() as browser:
        for page in pages:
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", locale="en-GB"
            )
            if page.role in sessions:
                context.add_cookies([{"name": "sessionid", "value": sessions[page.role], "url": url}])
            tab = context.new_page()
            answer = tab.goto(url + permissions.filled(page.address, values), wait_until="load")
            if answer is None or answer.status != 200:
                wrong.append(f"{page.address}: {answer and answer.status}")
            else:
                tall = min(HEIGHT, int(tab.evaluate("Math.ceil(document.body.getBoundingClientRect().bottom)")))
                shot = tab.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": max(tall, 300)})
                (PICTURES / page.picture).write_bytes(small(shot))
            context.close()
    if wrong:
        raise RuntimeError("no picture of " + "; ".join(wrong))


def small(shot: bytes) -> bytes:
    """With as many colours as fit into what a picture may take."""
    from PIL import Image

    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    for colours in COLOURS:
        kept = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(kept, "PNG", optimize=True)
        if kept.tell() <= MOST_BYTES:
            break
    return kept.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
