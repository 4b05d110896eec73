"""Who and where: organisations with their people, officers, reviewers, operators, sites and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group

from benchmarks.portal_bulk import Dice, Sizes, store
from hanse.contracts.machine import Machine as MachineFacts
from hanse.contracts.site import MachineState, PartitionState
from hanse.machines import catalogue
from hanse.service.access.models import Membership, Organisation, Person
from hanse.service.access.people import OFFICERS
from hanse.service.awarding.models import Capacity, Price
from hanse.service.review.models import Reviewer
from hanse.service.runs.models import Machine, Revision, Site

COUNTRIES = {
    "DE": 18, "FR": 15, "IT": 13, "ES": 11, "NL": 6, "SE": 5, "PL": 5, "BE": 4, "FI": 4, "AT": 4, "PT": 3, "DK": 3,
    "CZ": 3, "GR": 2, "IE": 2, "SI": 1, "BG": 1, "LU": 1, "EE": 1,
}  # fmt: skip
KINDS = {"start-up": 34, "sme": 30, "research": 18, "public": 8, "large": 10}
JOINED = (
    "lumi-g", "leonardo-booster", "marenostrum5-acc", "meluxina-gpu", "karolina-gpu", "vega-gpu", "jupiter-booster",
    "deucalion-gpu", "discoverer-plus",
)  # fmt: skip
OFFICERS_COUNT, REVIEWERS_COUNT = 12, 300
MONTHS = 36


@dataclass(frozen=True, kw_only=True)
class People:
    organisations: list[Any]
    founders: list[Any]
    """One of each organisation, in the same order."""
    officers: list[Any]
    operators: list[Any]
    reviewers: list[Any]
    machines: list[Any]


def fill(sizes: Sizes, dice: Dice) -> People:
    names = (f"Organisation {number:05}" for number in range(sizes.organisations))
    organisations = store(Organisation, (
        Organisation(
            public_id=dice.id("org"), name=name, kind=dice.one_of(KINDS), country=dice.one_of(COUNTRIES),
            created_at=dice.days_ago(300, 1200),
        )
        for name in names
    ))  # fmt: skip
    founders = _persons("founder", len(organisations), dice)
    store(Membership, (
        Membership(person=person, organisation=organisation, role="owner")
        for person, organisation in zip(founders, organisations, strict=True)
    ))  # fmt: skip
    colleagues = _persons("colleague", len(organisations) // 2, dice)
    store(Membership, (
        Membership(person=person, organisation=dice.choice(organisations), role="member") for person in colleagues
    ))  # fmt: skip
    officers = _persons("officer", OFFICERS_COUNT, dice)
    Group.objects.get_or_create(name=OFFICERS)[0].user_set.add(*officers)
    experts = _persons("expert", min(REVIEWERS_COUNT, len(organisations)), dice)
    reviewers = store(Reviewer, (
        Reviewer(person=person, organisation="A university", keywords=["language model", "vision"])
        for person in experts
    ))  # fmt: skip
    machines = _machines(JOINED[: sizes.machines], dice)
    operators = _persons("operator", len(machines), dice)
    for person, machine in zip(operators, machines, strict=True):
        Membership.objects.create(person=person, organisation=machine.site.organisation, role="operator")
    _offers(machines, officers[0], dice)
    return People(
        organisations=organisations, founders=founders, officers=officers, operators=operators, reviewers=reviewers,
        machines=machines,
    )  # fmt: skip


def _persons(kind: str, count: int, dice: Dice) -> list[Any]:
    return store(Person, (
        Person(
            username=f"{kind}-{number:05}", email=f"{kind}-{number:05}@example.eu", first_name=kind.capitalize(),
            last_name=f"{kind}{number:05}", password="!", date_joined=dice.days_ago(300, 1200),
        )
        for number in range(count)
    ))  # fmt: skip


def _machines(names: Sequence[str], dice: Dice) -> list[Any]:
    made = []
    for name in names:
        facts = catalogue.load(name)
        host = Organisation.objects.create(name=f"Centre of {facts.name}", kind="public", created_at=dice.at)
        site = Site.objects.create(public_id=f"site-{name}", name=f"Site of {facts.name}", organisation=host)
        machine = Machine.objects.create(
            public_id=name, site=site, facts=facts, agent_epoch=3, last_heard_at=dice.at + timedelta(days=1),
            software="hanse", state=_state(facts, dice),
        )  # fmt: skip
        Revision.objects.create(machine=machine, number=1)
        made.append(machine)
    return made


def _state(facts: MachineFacts, dice: Dice) -> MachineState:
    return MachineState(at=dice.at, partitions=tuple(
        PartitionState(name=one.name, up=True, nodes=one.nodes or 100, nodes_idle=(one.nodes or 100) // 10)
        for one in facts.partitions
    ))  # fmt: skip


def _offers(machines: list[Any], officer: Any, dice: Dice) -> None:
    first = dice.at.date().replace(day=1) - timedelta(days=30 * (MONTHS - 6))
    months = sorted({f"{first + timedelta(days=30 * number):%Y-%m}" for number in range(MONTHS)})
    store(Capacity, (
        Capacity(
            machine=machine, partition="", month=month, accelerator_seconds=10**9, stated_by=officer,
            stated_at=dice.at,
        )
        for machine in machines
        for month in months
    ))  # fmt: skip
    store(Price, (
        Price(machine=machine, from_day=first, cents_per_gpu_hour=250, stated_by=officer, stated_at=dice.at)
        for machine in machines
    ))  # fmt: skip
