from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.service import environment

environment.set_up()

if TYPE_CHECKING:
    from hanse.service.access.models import Person


@pytest.fixture
def officer() -> Person:
    from tests.review.world import an_officer

    return an_officer()
