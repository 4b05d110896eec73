from collections.abc import Iterator

import pytest

from tests.service import environment

environment.set_up()

from tests.compliance.parts import *  # noqa: E402, F403
from tests.service.fixtures import *  # noqa: E402, F403


@pytest.fixture(autouse=True)
def nobody_asked_yet() -> Iterator[None]:
    from django.core.cache import cache

    cache.clear()
    yield
