from tests.service import environment

environment.set_up()
