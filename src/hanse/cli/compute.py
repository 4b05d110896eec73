"""How the demo comes to its hours: it holds some already, or applies for them and, as the officer, decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli import views
from hanse.cli.machine import LOCAL
from hanse.contracts.errors import HanseError
from hanse.contracts.units import format_gpu_hours

if TYPE_CHECKING:
    from hanse.cli.story import Story
    from hanse.client.api import Client
    from hanse.contracts.programme import Allocation
