"""Two officers, a machine with an agent, and no second factor: the world that awards are brought into."""

from tests.service import environment

environment.set_up()

from tests.awarding.world import *  # noqa: E402, F403
