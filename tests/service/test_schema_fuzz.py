"""What the OpenAPI documents allow, and what they do not, is sent to every operation: nothing breaks (schemathesis).

The same examples every time; each is undone. An answer of 5xx is a fault of ours, whatever was sent.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from hanse.service.api.site import agent_api, user_api
from tests.service import permissions

pytestmark = pytest.mark.django_db
BOUNDED = settings(
    derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
WHO = {"owner": (user_api, 2), "officer": (user_api, 1), "agent": (agent_api, 2)}
"""Whose token is shown, to which API, and how many examples of either kind an operation gets."""


@pytest.fixture
def on() -> permissions.Stage:
    return permissions.stage()


def send(on: permissions.Stage, who: str, case: Any) -> Any:
    """The case as a request; half of the names in addresses stand for what exists."""
    path, values = case.path, case.path_parameters or {}
    odd = sum(map(ord, json.dumps(values, default=str))) % 2
    known = permissions.filled(path, on.values) if not odd else case.formatted_path
    query = {key: value for key, value in (case.query or {}).items() if value is not None}
    headers = {
        name: re.sub(r"[\r\n]", "", str(value)) for name, value in (case.headers or {}).items()
        if name.lower() not in ("content-length", "transfer-encoding", "authorization")
    }  # fmt: skip
    headers["Authorization"] = f"Bearer {on.tokens[who]}"
    body = case.body if isinstance(case.body, bytes) else b""
    if not body and type(case.body).__name__ != "NotSet":
        body = json.dumps(case.body, default=str).encode()
    with transaction.atomic():
        response = Client(raise_request_exception=False).generic(
            case.method, known, body, content_type="application/json", headers=headers, query_params=query
        )
        transaction.set_rollback(True)
    cache.clear()
    return response


@pytest.mark.parametrize("who", list(WHO))
def test_no_operation_breaks_whatever_it_is_sent(who: str, on: permissions.Stage) -> None:
    api, examples = WHO[who]
    document = schemathesis.openapi.from_dict(json.loads(json.dumps(api.get_openapi_schema())))
    broken: list[str] = []
    asked = 0
    for found in document.get_all_operations():
        operation = found.ok()
        for mode in MODES:
            try:
                strategy = operation.as_strategy(generation_mode=mode)
                asked += _ask(on, who, operation, strategy, examples, broken)
            except schemathesis.errors.SchemathesisError as nothing_wrong_can_be_sent:
                assert mode is GenerationMode.NEGATIVE, nothing_wrong_can_be_sent
    assert not broken, "\n".join(broken)
    assert asked > len(list(document.get_all_operations()))


def _ask(on: permissions.Stage, who: str, operation: Any, strategy: Any, examples: int, broken: list[str]) -> int:
    asked = 0

    @settings(BOUNDED, max_examples=examples)
    @given(case=strategy)
    def every_case(case: Any) -> None:
        nonlocal asked
        asked += 1
        response = send(on, who, case)
        if response.status_code >= 500:
            said = f"{response.status_code} {response.content[:200]!r}"
            broken.append(
                f"{operation.label} as {who}: {said} to {case.path_parameters} {case.query} {case.body!r:.300}"
            )

    every_case()
    return asked
