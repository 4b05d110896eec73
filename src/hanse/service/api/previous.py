"""Agents of the previous protocol: answers in the shape that they read.

They refuse unknown keys, so an answer to them keeps to the keys that protocol 1 had, wherever in it: `protocol1.json`
holds those, written when protocol 2 was made. It is never edited.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from django.http import HttpResponse

from hanse.contracts.agentapi import SyncResponse, Welcome
from hanse.service.api.replies import reply

PREVIOUS = 1
_KEYS = Path(__file__).with_name("protocol1.json")


@cache
def _keys() -> dict[str, Any]:
    shape: dict[str, Any] = json.loads(_KEYS.read_text("utf-8"))
    return shape


def answered(answer: Welcome | SyncResponse, protocol: int) -> HttpResponse:
    """The reply to an agent that speaks `protocol`."""
    if protocol != PREVIOUS:
        return reply(answer)
    body = _pruned(answer.model_dump(mode="json"), _keys()[type(answer).__name__])
    response = HttpResponse(json.dumps(body | {"protocol": PREVIOUS}), content_type="application/json")
    response["Cache-Control"] = "private, no-cache"
    return response


def _pruned(value: Any, keys: Any) -> Any:
    """`value` without the keys that are not in `keys`; None there keeps a value as it is, '*' stands for any key."""
    if isinstance(keys, dict) and isinstance(value, dict):
        if "*" in keys:
            return {name: _pruned(inner, keys["*"]) for name, inner in value.items()}
        return {name: _pruned(inner, keys[name]) for name, inner in value.items() if name in keys}
    if isinstance(keys, list) and isinstance(value, list):
        return [_pruned(inner, keys[0]) for inner in value]
    return value
