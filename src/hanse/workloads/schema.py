"""The JSON Schema of train.yaml for editors, named on its first line: `python -m hanse.workloads.schema > FILE`.

Numbers may carry a suffix in the file (`tokens: 2M`), so the schema takes such text wherever it takes a number.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from hanse.contracts.catalogue import schema as contract_schema
from hanse.files.contract import NUMBER_TEXT
from hanse.workloads.presets import PRESETS


def schema_text() -> str:
    """The schema as the file that lies beside the examples and that `hanse demo` lays down."""
    return json.dumps(train_schema(), indent=2, ensure_ascii=False) + "\n"


def train_schema() -> dict[str, Any]:
    """The contract's schema, with suffixed numbers allowed and the presets by name."""
    document = contract_schema("train-spec")
    document["title"] = "Hanse train.yaml"
    widened: dict[str, Any] = _widen(document)
    preset = widened["$defs"]["ModelSpec"]["properties"]["preset"]
    preset["examples"] = list(PRESETS)
    return widened


def _widen(node: Any) -> Any:
    if isinstance(node, list):
        return [_widen(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: _widen(value) for key, value in node.items()}
    if node.get("type") in ("integer", "number"):
        number = {key: value for key, value in node.items() if key not in ("title", "description", "default")}
        rest = {key: value for key, value in node.items() if key in ("title", "description", "default")}
        return {**rest, "anyOf": [number, {"type": "string", "pattern": NUMBER_TEXT}]}
    return node


if __name__ == "__main__":
    sys.stdout.write(schema_text())
