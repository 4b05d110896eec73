"""The service's small world, with two officers, a call under which hours are asked for, and no second factor."""

from tests.service import environment

environment.set_up()

from tests.awarding.world import *  # noqa: E402, F403
