from tests.service import environment

environment.set_up()

from tests.service.fixtures import *  # noqa: E402, F403
