"""Bodies and queries made from the API's own document: the least that each operation takes.

With them every operation is asked by every role; without, it would be refused for its body before anybody asks who may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GIVEN = {
    "machine": "local", "site": "here", "call": "with-steps", "person": "stranger", "reviewer": "stranger",
    "country": "BE", "month": "2026-10", "first": "2026-10", "last": "2026-10", "role": "member",
    "email": "new@example.eu",
}  # fmt: skip
"""What a name stands for in the small world of the matrix."""
WORDS = {
    "date": "2099-01-01",
    "date-time": "2099-01-01T10:00:00Z",
    "email": "new@example.eu",
    "uri": "https://a.example",
}


def body_of(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    """An example of its JSON body; {} where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return _made(document, content["schema"]) if content else {}


def query_of(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    """Its required parameters."""
    asked = (one for one in operation.get("parameters", ()) if one["in"] == "query" and one.get("required"))
    return {one["name"]: _made(document, one["schema"], one["name"]) for one in asked}


def _made(document: Mapping[str, Any], schema: Mapping[str, Any], name: str = "") -> Any:
    if "$ref" in schema:
        return _made(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], name)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _made(document, schema[several][0], name)
    if "const" in schema or "enum" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {one: _made(document, properties[one], one) for one in schema.get("required", ())}
    if kind == "array":
        return [_made(document, schema["items"], name)] * max(1, schema.get("minItems", 0))
    if kind in ("integer", "number"):
        return schema.get("minimum", 0) or int(schema.get("exclusiveMinimum", 0)) + 1
    if kind == "boolean":
        return True
    if kind == "string":
        return GIVEN.get(name) or WORDS.get(schema.get("format", "")) or _text(schema)
    return {}


def _text(schema: Mapping[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    if "[0-9a-f]{64}" in pattern:
        return "0" * 64
    return "BE" if pattern.startswith("^[A-Z]") else "a" * max(2, schema.get("minLength", 0))
