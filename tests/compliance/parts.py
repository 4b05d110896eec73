"""An award as an officer grants it, for tests: applied for, screened, granted, its conditions opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hanse.service import bootstrap
from hanse.service.access.apply import submit
from hanse.service.access.models import Allocation, Application, Award
from hanse.service.compliance import conditions
from tests.reviewed import reviewed
from tests.service.fixtures import World
from tests.service.test_programme import a_form


@dataclass
class Granted:
    world: World
    application: Application
    award: Award

    def answers(self, **answers: Any) -> None:
        """Answer the gate otherwise, as if it had been screened so."""
        screening = self.application.screening
        screening.answers = {**screening.answers, **{key.replace("_", "-"): value for key, value in answers.items()}}
        type(screening).objects.filter(pk=screening.pk).update(answers=screening.answers)
        self.award.refresh_from_db()
        self.award = Award.objects.get(pk=self.award.pk)

    @property
    def allocation(self) -> Allocation:
        return Allocation.objects.select_related("award__application__screening", "machine").get(award=self.award)


@pytest.fixture
def granted(world: World) -> Granted:
    return grant(world)


def grant(world: World) -> Granted:
    bootstrap.publish_calls(by="test")
    application = reviewed(submit(world.founder, a_form()), world.officer)
    allocation = application.grant(world.officer, reason="fits", conditions=("Publish the tokenizer.",))
    world.allocation = allocation
    conditions.open_for(allocation.award)
    return Granted(world=world, application=application, award=allocation.award)


__all__ = ["granted"]
