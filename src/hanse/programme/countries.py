"""Where an applicant may be established: groups of countries from `countries.yaml`, each list with its source."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from pydantic import model_validator

from hanse.contracts.base import Contract, Identifier
from hanse.contracts.decision import Verdict
from hanse.contracts.programme import Dated
from hanse.programme import data


class Group(Contract):
    id: Identifier
    title: str
    verdict: Verdict
    source: Dated
    countries: tuple[str, ...]


class Countries(Contract):
    rule: Dated
    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _each_country_once(self) -> Countries:
        listed = [country for group in self.groups for country in group.countries]
        twice = {country for country in listed if listed.count(country) > 1}
        if twice:
            raise ValueError(f"in more than one group: {', '.join(sorted(twice))}")
        return self

    def group_of(self, country: str) -> Group | None:
        return next((group for group in self.groups if country in group.countries), None)


@lru_cache
def load() -> Countries:
    text = (files("hanse.programme") / "countries.yaml").read_text("utf-8")
    return data.build(Countries, text, where="countries.yaml")
