"""How full a machine is, as its agent told, for whoever asks over the API."""

from __future__ import annotations

import pytest
from django.test import Client

from hanse.contracts.base import now
from hanse.contracts.site import MachineState, PartitionState
from hanse.service.access.models import ApiToken
from hanse.service.runs.models import Machine
from tests.service.fixtures import World

pytestmark = pytest.mark.django_db


def test_how_full_a_machine_is_can_be_asked_once_its_agent_has_told(world: World) -> None:
    client = Client(headers={"Authorization": f"Bearer {ApiToken.issue('test', by='x', person=world.founder)}"})
    silent = client.get("/api/v1/machines/local/state")
    assert silent.status_code == 404 and "has not told yet" in silent.json()["what"]
    told = MachineState(at=now(), partitions=(PartitionState(name="cpu", up=True, nodes=4, nodes_idle=3),))
    Machine.objects.update(state=told)
    assert MachineState.from_json(client.get("/api/v1/machines/local/state").content) == told
    assert client.get("/api/v1/machines/elsewhere/state").status_code == 404
