"""The page of a run that moved: where it was and why it left, what is carried after it, what it waits for, its cost."""

from __future__ import annotations

import pytest
from django.test import Client

from hanse.service.runs.models import Attempt, LogChunk, Run
from hanse.service.runs.parcels import Parcel
from tests.portal import moved, seed
from tests.portal.test_pages import read

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    return moved.run(seed.person("ida", organisation=seed.organisation()))


@pytest.fixture
def page(run: Run) -> Client:
    client = Client()
    client.force_login(run.created_by)
    return client


def test_it_says_what_it_waits_for_when_it_is_expected_and_where(page: Client, run: Run) -> None:
    text = read(page, f"/runs/{run.public_id}/").text
    assert "Waiting in the queue of Leonardo" in text
    assert "“Priority”. Jobs of higher priority are before it in the queue." in text
    assert "It is expected to start about " in text
    assert text.count("expected to start") == 1
    assert "You need do nothing." in text


def test_it_says_why_it_was_placed_what_was_tried_and_what_it_could_not_use(page: Client, run: Run) -> None:
    text = read(page, f"/runs/{run.public_id}/").text
    for said in (
        "It would end there 3 h sooner than on the next.",
        "having tried: This machine : Local is drained.", "lumi-g : You have no hours there.",
        "The run moved from local to leonardo-booster", "Attempt 1 planned, on Leonardo", "Would start",
    ):  # fmt: skip
        assert said in text, said


def test_it_shows_how_much_of_the_checkpoint_has_come(page: Client, run: Run) -> None:
    text = read(page, f"/runs/{run.public_id}/").text
    assert "Checkpoint, step 96" in text and "On its way" in text
    assert "1.00 GB of 4.00 GB sent" in text.replace("\N{NO-BREAK SPACE}", " ")
    tag = page.get(f"/runs/{run.public_id}/live/")["ETag"]
    Parcel.objects.update(sent_bytes=2_000_000_000)
    assert page.get(f"/runs/{run.public_id}/live/", headers={"If-None-Match": tag}).status_code == 200


def test_the_cost_so_far_stands_beside_the_plans_in_the_sites_unit_too(page: Client, run: Run) -> None:
    Attempt.objects.filter(leg__number=2).update(accelerator_seconds=3600)
    text = read(page, f"/runs/{run.public_id}/").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "1.04 GPU-hours used so far, about " in text
    assert " of Leonardo" in text and "the plan expects" in text


def test_logs_of_two_legs_are_told_apart_though_both_begin_with_attempt_1(page: Client, run: Run) -> None:
    two = Attempt.objects.get(leg__number=2)
    LogChunk.store(two, 0, "written on Leonardo\n")
    said = read(page, f"/runs/{run.public_id}/log/")
    assert "Log of attempt 1 on leonardo-booster" in said.text and "written on Leonardo" in said.text
    first = Attempt.objects.get(leg__number=1)
    assert "on local" in read(page, f"/runs/{run.public_id}/log/?attempt={first.public_id}").text
    whole = page.get(f"/runs/{run.public_id}/log.txt").content.decode()
    assert whole.index("attempt 1 on local") < whole.index("attempt 1 on leonardo-booster")
