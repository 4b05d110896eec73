"""Write `schemas/`: the JSON Schema and one example of every public contract.

Run it after a change of `hanse.contracts` that you decided on; tests/contracts fails until you did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from hanse.contracts.catalogue import PUBLIC, schema  # noqa: E402
from tests.contracts.examples import EXAMPLES  # noqa: E402


def main() -> None:
    folder = ROOT / "schemas"
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    for name in PUBLIC:
        (folder / f"{name}.schema.json").write_text(json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n")
        (folder / "examples" / f"{name}.json").write_text(EXAMPLES[name].to_json())
    print(f"{len(PUBLIC)} schemas and examples in {folder.relative_to(ROOT)}/")


if __name__ == "__main__":
    main()
