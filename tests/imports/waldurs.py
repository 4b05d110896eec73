"""What a Waldur 8.1 answers, in the keys of its API: two customers, three projects, resources of every kind."""

from __future__ import annotations

from typing import Any

API = "https://waldur.example.eu/api"


def component(type: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"type": type, "name": type.upper(), "billing_type": "limit", "measured_unit": unit, "unit_factor": 1,
            "limit_period": "total"} | more  # fmt: skip


def resource(number: int, **changes: Any) -> dict[str, Any]:
    uuid = f"{number:032x}"
    return {
        "uuid": uuid, "url": f"{API}/marketplace-resources/{uuid}/", "name": f"alloc-{number}", "state": "OK",
        "offering_uuid": "a" * 32, "offering_slug": "booster", "offering_name": "Booster",
        "project": f"{API}/projects/{'b' * 32}/", "project_uuid": "b" * 32, "project_name": "Delivery notes",
        "project_description": "Reading them.", "project_end_date": None, "customer_uuid": "c" * 32,
        "customer_name": "Brick AI", "backend_id": f"hpc_{number}", "created": "2026-11-02T10:00:00Z",
        "end_date": "2099-12-31", "limits": {"gpu": 5000}, "current_usages": {"gpu": 12},
        "offering_components": [component("gpu", "GPU Hours")], "creation_order": {"start_date": None},
    } | changes  # fmt: skip


CUSTOMER = {"uuid": "c" * 32, "name": "Brick AI", "country": "BE", "vat_code": "", "email": "office@example.eu"}
USERS = (
    {"user_email": "m@example.eu", "user_full_name": "Em", "role_name": "PROJECT.MEMBER", "expiration_time": None},
    {"user_email": "f@example.eu", "user_full_name": "Ef", "role_name": "PROJECT.MANAGER", "expiration_time": None},
)
