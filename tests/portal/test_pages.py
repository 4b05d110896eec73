"""What each page says, to whom, and what stands on none of them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from hanse.contracts.base import now
from hanse.contracts.record import RunRecord
from hanse.contracts.run import RunState
from hanse.reporting.document import stylesheet
from hanse.rules import gate
from hanse.service.access.models import Allocation, ApiToken, LoginLink, Person
from hanse.service.runs.models import Attempt, Event, Machine, Run, StepRow, UsageEntry
from tests.portal import seed
from tests.reporting import records
from tests.reporting.test_run_report import Reader

pytestmark = pytest.mark.django_db


@pytest.fixture
def ida() -> Person:
    return seed.person("ida", organisation=seed.organisation())


@pytest.fixture
def page(ida: Person) -> Client:
    client = Client()
    client.force_login(ida)
    return client


def read(client: Client, path: str, status: int = 200) -> Reader:
    """The page, after what must hold for every page was checked."""
    response = client.get(path)
    assert response.status_code == status, path
    html = response.content.decode()
    reader = Reader(html)
    assert reader.open == []
    assert reader.headings.count("h1") == 1
    inline = [name for _, name, _ in reader.attributes if name == "style" or re.fullmatch(r"on\w+", name)]
    assert inline == []
    assert "<script>" not in html
    assert "<style" not in html
    assert html.count("<td") == len(re.findall(r"<td [^>]*data-label=", html))
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    classes = {one for _, name, value in reader.attributes if name == "class" for one in value.split()}
    assert {one for one in classes if not re.search(rf"\.{one}(?![\w-])", stylesheet())} == set()
    return reader


@pytest.mark.parametrize("kind", [kind for kind in records.ALL if kind != "long"])
def test_every_page_of_every_kind_of_run_is_sound(kind: str, page: Client, ida: Person) -> None:
    run = seed.run(records.ALL[kind](), ida)
    allocation = run.legs.get().allocation
    paths = ["/", "/runs/", f"/runs/{run.public_id}/", f"/runs/{run.public_id}/log/", f"/runs/{run.public_id}/report/",
             f"/runs/{run.public_id}/stop/", f"/allocations/{allocation.public_id}/", "/applications/"]  # fmt: skip
    if allocation.award:
        paths.append(f"/applications/{allocation.award.application.public_id}/")
    for path in paths:
        assert read(page, path).headings[0] == "h1", path


def test_a_stranger_is_asked_to_sign_in_and_led_back(ida: Person) -> None:
    run = seed.run(records.finished(), ida)
    client = Client()
    response = client.get(f"/runs/{run.public_id}/")
    assert response.status_code == 302
    assert response["Location"] == f"/login/?next=/runs/{run.public_id}/"
    given = {"login": "ida", "password": seed.PASSWORD, "next": f"/runs/{run.public_id}/"}
    assert client.post("/login/", given)["Location"] == f"/runs/{run.public_id}/"


def test_a_wrong_password_says_what_to_do_and_not_which_part_is_wrong(ida: Person) -> None:
    response = Client().post("/login/", {"login": "ida", "password": "wrong"})
    text = Reader(response.content.decode()).text
    assert "Name and password do not belong together" in text
    assert "Sign out" not in text


def test_signing_out_takes_a_button_and_not_a_link(page: Client) -> None:
    assert page.get("/logout/").status_code == 405
    page.post("/logout/")
    assert page.get("/").status_code == 302


def test_a_one_time_link_opens_the_home_page_once(ida: Person) -> None:
    secret, _ = LoginLink.issue(ida)
    client = Client()
    assert client.get(f"/in/{secret}/", follow=True).redirect_chain[-1][0] == "/"
    assert Client().get(f"/in/{secret}/", follow=True).redirect_chain[-1][0].startswith("/login/")


def test_another_organisations_run_is_not_there(ida: Person) -> None:
    run = seed.run(records.finished(), ida)
    stranger = Client()
    stranger.force_login(seed.person("kai", organisation=seed.organisation("Elsewhere")))
    for path in ("", "live/", "log/", "log.txt", "report/", "report.html", "record.json", "stop/"):
        assert stranger.get(f"/runs/{run.public_id}/{path}").status_code == 404, path
    assert stranger.get(f"/allocations/{run.legs.get().allocation.public_id}/").status_code == 404
    assert "Nothing stands here" in read(stranger, f"/runs/{run.public_id}/", 404).text


def test_the_policy_forbids_everything_inline(page: Client) -> None:
    policy = page.get("/")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy


def test_a_newcomer_is_told_what_would_be_here_and_what_to_do_first(page: Client) -> None:
    text = read(page, "/").text
    assert "Apply for compute" in text
    assert "hanse apply" in text
    assert "No run yet" in text


def test_home_shows_the_most_pressing_thing_first(page: Client, ida: Person) -> None:
    seed.run(records.finished(), ida)
    assert "Next Read the report of stdlib-lm" in read(page, "/").text
    seed.run(records.under_way(), ida)
    assert "Next Watch stdlib-lm" in read(page, "/").text
    seed.run(records.failed(), ida)
    text = read(page, "/").text
    assert "Next See why stdlib-lm failed" in text
    assert "1 run is under way" in text


def test_an_officer_sees_what_waits_for_a_decision_and_until_when(ida: Person) -> None:
    seed.application(ida, decision=records.gate(), title="Nordic 30B")
    client = Client()
    client.force_login(seed.person("olga", is_superuser=True))
    text = read(client, "/").text
    assert "Next Decide on Nordic 30B" in text
    assert "An answer is due by" in text


def test_the_run_page_says_how_far_it_is_and_when_it_ends(page: Client, ida: Person) -> None:
    run = seed.run(records.under_way(), ida)
    text = read(page, f"/runs/{run.public_id}/").text
    assert "786,432 of 1.97 million tokens, 40 %. At this pace it ends about" in text
    assert "Loss fell from 8.25 to 3.04" in text
    assert "step 119" in text
    assert "Attempt 1 planned." in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("waiting", "Waiting for the agent of This machine"),
        ("failed", "The run failed Two attempts in a row ended without a step. RuntimeError: out of memory"),
        ("finished", "Next Read the report"),
    ],
)
def test_the_run_page_says_what_stands_in_the_way(kind: str, words: str, page: Client, ida: Person) -> None:
    run = seed.run(records.ALL[kind](), ida)
    assert words in read(page, f"/runs/{run.public_id}/").text


def test_the_schedulers_own_word_is_shown_with_what_it_means(page: Client, ida: Person) -> None:
    run = seed.run(records.waiting(), ida)
    Attempt.objects.update(state="queued", reason="Priority")
    text = read(page, f"/runs/{run.public_id}/").text
    assert "The scheduler says “Priority”. Jobs of higher priority are before it in the queue." in text
    assert "You need do nothing." in text


def test_an_agent_that_is_away_is_normal_and_said_so(page: Client, ida: Person) -> None:
    run = seed.run(records.under_way(), ida)
    Machine.objects.update(last_heard_at=now() - timedelta(hours=3))
    text = read(page, f"/runs/{run.public_id}/").text
    assert "The agent of This machine is away" in text
    assert "Queued work keeps its place" in text
    assert "Agent away" in read(page, "/").text


def test_names_that_are_markup_are_shown_as_text(page: Client, ida: Person) -> None:
    run = seed.run(records.hostile(), ida)
    for path in (f"/runs/{run.public_id}/", f"/runs/{run.public_id}/report/", "/", "/runs/"):
        html = page.get(path).content.decode()
        assert "<script>alert" not in html
        assert "<b>bold" not in html


def poll_headers(html: str) -> dict[str, str]:
    match = re.search(r'hx-headers="([^"]*)"', html)
    assert match
    found: dict[str, str] = json.loads(match[1].replace("&quot;", '"'))
    return found


def test_the_live_part_is_sent_again_only_when_something_changed(page: Client, ida: Person) -> None:
    run = seed.run(records.waiting(), ida)
    first = page.get(f"/runs/{run.public_id}/live/?was=queued")
    tag = first["ETag"]
    again = page.get(f"/runs/{run.public_id}/live/?was=queued", headers={"If-None-Match": tag})
    assert again.status_code in (200, 304)  # 200 only where a quarter of a minute just ended
    assert again.status_code == 304 or again["ETag"] != tag
    StepRow.store(Attempt.objects.get(), records.rows(1, 1))
    changed = page.get(f"/runs/{run.public_id}/live/?was=queued", headers={"If-None-Match": again["ETag"]})
    assert changed.status_code == 200
    assert poll_headers(changed.content.decode()) == {"If-None-Match": changed["ETag"]}


def test_a_run_that_ended_is_not_asked_for_again_and_its_end_is_announced(page: Client, ida: Person) -> None:
    run = seed.run(records.under_way(), ida)
    html = page.get(f"/runs/{run.public_id}/").content.decode()
    assert 'hx-trigger="every 5s"' in html
    assert "htmx" in html
    Run.objects.update(state=RunState.FINISHED, ended_at=now())
    fragment = page.get(f"/runs/{run.public_id}/live/?was=running").content.decode()
    assert "hx-trigger" not in fragment
    assert '<p id="said" class="vh" role="status" hx-swap-oob="true">The run is now finished.</p>' in fragment
    still = page.get(f"/runs/{run.public_id}/live/?was=finished").content.decode()
    assert 'id="said"' not in still
    assert "htmx-2" not in page.get(f"/runs/{run.public_id}/").content.decode()


def test_stopping_a_run_takes_a_reason_and_keeps_it(page: Client, ida: Person) -> None:
    run = seed.run(records.under_way(), ida)
    path = f"/runs/{run.public_id}/stop/"
    assert "Stop run" in read(page, path).text
    refused = page.post(path, {"reason": " "})
    assert refused.status_code == 422
    assert "Say in a few words why the run is stopped." in refused.content.decode()
    run.refresh_from_db()
    assert run.state == RunState.RUNNING
    answer = page.post(path, {"reason": "the loss does not fall"}, follow=True)
    assert "is being stopped" in answer.content.decode()
    run.refresh_from_db()
    assert run.state == RunState.CANCELLING
    event = Event.objects.get(name="user:run:cancelling")
    assert (event.actor, event.reason) == ("ida", "the loss does not fall")


def test_a_run_that_ended_meanwhile_cannot_be_stopped_and_says_so(page: Client, ida: Person) -> None:
    run = seed.run(records.finished(), ida)
    answer = page.post(f"/runs/{run.public_id}/stop/", {"reason": "late"}, follow=True)
    assert "the run is already finished" in answer.content.decode()


def test_the_report_can_be_taken_away_as_one_file_with_its_data(page: Client, ida: Person) -> None:
    run = seed.run(records.finished(), ida)
    report = page.get(f"/runs/{run.public_id}/report.html")
    assert report["Content-Disposition"] == 'attachment; filename="stdlib-lm-report.html"'
    assert report.content.decode().startswith("<!doctype html>")
    record = RunRecord.from_json(page.get(f"/runs/{run.public_id}/record.json").content)
    assert record.run.id == run.public_id
    assert len(record.telemetry) == records.STEPS


def test_the_log_of_each_attempt_can_be_read_and_all_of_it_taken(page: Client, ida: Person) -> None:
    run = seed.run(records.interrupted(), ida)
    assert "Log of attempt 3" in read(page, f"/runs/{run.public_id}/log/").text
    assert "Log of attempt 1" in read(page, f"/runs/{run.public_id}/log/?attempt=1").text
    text = page.get(f"/runs/{run.public_id}/log.txt").content.decode()
    assert text.count("=== attempt") == 3
    assert text.count("step 119") == 3


def test_the_allocation_page_adds_up(page: Client, ida: Person) -> None:
    run = seed.run(records.interrupted(), ida)
    found = Allocation.objects.with_balance().get()
    text = read(page, f"/allocations/{found.public_id}/").text
    assert found.used == run.contract().used_accelerator_seconds
    assert "Sum 0.138" in text
    assert "9.86 GPU-hours left of 10.0" in text
    assert "Acknowledge the programme in publications." in text


def test_an_overdrawn_allocation_says_so_and_never_shows_less_than_nothing(page: Client, ida: Person) -> None:
    seed.run(records.failed(), ida)
    found = Allocation.objects.get()
    UsageEntry.objects.create(allocation=found, accelerator_seconds=40_000, recorded_at=now(), kind="site")
    text = read(page, f"/allocations/{found.public_id}/").text
    assert "0 GPU-hours left" in text
    assert "Overdrawn" in text


def test_the_application_page_says_who_acts_next_by_when_and_what_the_gate_found(page: Client, ida: Person) -> None:
    sent = seed.application(ida, decision=records.gate(), title="Nordic 30B")
    text = read(page, f"/applications/{sent.public_id}/").text
    assert "Next The officer on duty reads it and answers with reasons By" in text
    assert "Regulation (EU) 2024/1689, Article 53(1)(d)" in text
    question = gate.questions(now().date())[0].text
    assert f"{' '.join(question.split())} no" in text


def officer() -> Client:
    client = Client()
    client.force_login(seed.person("olga", is_superuser=True))
    return client


def test_an_officer_grants_with_a_reason_and_the_allocation_is_open(page: Client, ida: Person) -> None:
    sent = seed.application(ida, decision=records.gate(), title="Nordic 30B")
    seed.machine()
    path = f"/applications/{sent.public_id}/"
    judge = officer()
    assert "Decide on it by" in read(judge, path).text
    told = judge.post(f"{path}decision/", {"gpu_hours": 8, "reason": "a good plan", "grant": ""}, follow=True)
    assert "Nordic 30B is granted; its allocation is open." in told.content.decode()
    text = read(page, path).text
    assert "The reason given: a good plan" in text
    assert "Open the allocation" in text
    assert Allocation.objects.get().granted_accelerator_seconds == 8 * 3600


def test_nobody_grants_against_the_gate_without_saying_why(page: Client, ida: Person) -> None:
    against = records.gate().model_copy(update={"verdict": "review"})
    sent = seed.application(ida, decision=against, title="Nordic 30B")
    path, judge = f"/applications/{sent.public_id}/", officer()
    assert "Why the gate's findings do not stand" in read(judge, path).text
    told = judge.post(f"{path}decision/", {"reason": "urgent", "grant": ""}, follow=True)
    assert "the gate says review" in told.content.decode()
    sent.refresh_from_db()
    assert sent.state == "sent"
    judge.post(f"{path}decision/", {"reason": "no machine fits", "decline": ""})
    assert "Not granted" in read(page, path).text


def test_a_decision_without_a_reason_changes_nothing(ida: Person) -> None:
    sent = seed.application(ida, decision=records.gate())
    told = officer().post(f"/applications/{sent.public_id}/decision/", {"reason": "", "decline": ""}, follow=True)
    assert "Give the reason; the applicant reads it." in told.content.decode()
    sent.refresh_from_db()
    assert sent.state == "sent"


def test_an_applicant_is_never_shown_the_officers_form(page: Client, ida: Person) -> None:
    sent = seed.application(ida, decision=records.gate())
    path = f"/applications/{sent.public_id}/"
    assert "Grant it" not in read(page, path).text
    told = page.post(f"{path}decision/", {"reason": "me", "grant": ""}, follow=True)
    assert "only a programme officer decides applications" in told.content.decode()


def test_the_list_of_runs_asks_the_database_as_often_for_ten_runs_as_for_two(
    page: Client, ida: Person, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        seed.run(records.waiting(), ida)
    with django_assert_max_num_queries(14):
        page.get("/runs/")


def test_a_person_makes_a_token_sees_it_once_and_may_revoke_it(page: Client, ida: Person) -> None:
    assert "None yet." in read(page, "/tokens/").text
    made = page.post("/tokens/", {"name": "laptop", "days": "30"}).content.decode()
    secret = re.search(r"HANSE_TOKEN=(hanse_u_[\w-]+)", made)
    assert secret is not None
    api = {"HTTP_AUTHORIZATION": f"Bearer {secret.group(1)}"}
    assert Client().get("/api/v1/me", **api).json()["username"] == "ida"

    again = read(page, "/tokens/")
    assert "laptop" in again.text
    assert secret.group(1) not in page.get("/tokens/").content.decode()
    token = ida.tokens.get()
    assert page.get(f"/tokens/{token.pk}/revoke/").status_code == 405
    page.post(f"/tokens/{token.pk}/revoke/")
    assert Client().get("/api/v1/me", **api).status_code == 401
    assert "None yet." in read(page, "/tokens/").text


def test_nobody_revokes_another_persons_token(page: Client) -> None:
    other = seed.person("olav", organisation=seed.organisation("Other"))
    ApiToken.issue("theirs", by="olav", person=other)
    assert page.post(f"/tokens/{other.tokens.get().pk}/revoke/").status_code == 404
    assert "theirs" not in read(page, "/tokens/").text


def test_a_token_without_a_purpose_is_not_made(page: Client, ida: Person) -> None:
    assert "Say what it is for" in page.post("/tokens/", {"name": " ", "days": "30"}).content.decode()
    assert not ida.tokens.exists()
