"""The user's own module: `entry: package.module:function`, found beside train.yaml (in the run's code folder)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.contracts.errors import TrainingError
from hanse.contracts.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn


def build(model: ModelSpec, code: Path) -> nn.Module:
    """Call the user's function with `vocab` and `context`.

    Raises:
        TrainingError: it cannot be found, or what it returns is no module.
    """
    from torch import nn

    name, _, function = str(model.entry).partition(":")
    where = f"train.yaml: model.entry {model.entry}"
    if str(code) not in sys.path:
        sys.path.insert(0, str(code))
    try:
        found = getattr(importlib.import_module(name), function)
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"there is no module {error.name} in {code}", where=where,
            fix="Put it beside train.yaml, or install it where the job runs.",
        ) from error  # fmt: skip
    except AttributeError as error:
        raise TrainingError(f"{name} has no function {function}", where=where) from error
    module = found(vocab=model.vocab, context=model.context)
    if not isinstance(module, nn.Module):
        raise TrainingError(f"{function} returned a {type(module).__name__}, not a torch.nn.Module", where=where)
    return module
