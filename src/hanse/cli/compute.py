"""How the demo comes to its hours: it holds some already, or applies for them and, as the officer, decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
