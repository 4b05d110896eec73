"""train.yaml to TrainSpec and back. Every mistake is one SpecError with file, line and key.

The file's keys are the contract's. Numbers may be written as people say them: `tokens: 2M`, `2_000_000` or `2e6`;
keys that end in `_s` also take `90s`, `10m`, `36h`, `2d` or `1h30m` (see `hanse.files.contract`). Paths of data and
tokenizer are relative to the file's folder and must exist; they come back absolute. A Hugging Face config.json comes
back as the shape it describes, so that the spec means the same on another machine.
"""

from __future__ import annotations

import difflib
import glob
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from hanse.contracts.errors import SpecError
from hanse.contracts.spec import ModelSpec, TrainSpec
from hanse.contracts.units import format_count
from hanse.files import contract, document
from hanse.files.document import Document
from hanse.workloads.presets import PRESETS
from hanse.workloads.shapes import model_shape
from hanse.workloads.shapes import parameters as shape_parameters

STDLIB: Final = "python-stdlib"
"""The data source that is no path: the source text of Python's own standard library."""

_REMOTE: Final = "://"
"""A source behind a URL, which fsspec opens where the data are prepared; whether it is there is found out there."""

_MOST_PARAMETERS: Final = 10**14
_LARGE: Final = {"layers": 128, "hidden": 16384, "ffn": 65536, "vocab": 262144, "heads": 128}
"""Sizes of the largest models in use."""

_BYTES: Final = 256
"""Every byte-level tokenizer knows these, and one more that ends a document."""
_GLOB: Final = frozenset("*?[")


def load_spec(path: Path, *, check_files: bool = True) -> TrainSpec:
    """Read train.yaml. With `check_files=False` data and modules may lie elsewhere (a spec for another machine)."""
    return _build(document.read(path), path.absolute().parent, check_files=check_files)


def parse_spec(text: str, *, folder: Path, name: str = "train.yaml", check_files: bool = True) -> TrainSpec:
    """As `load_spec`, of text that stands in no file yet; `folder` is where relative paths begin."""
    return _build(document.parse(text, name=name), folder.absolute(), check_files=check_files)


def dump_spec(spec: TrainSpec) -> str:
    """YAML that `load_spec` reads back as an equal spec; keys at their defaults are left out."""
    data: dict[str, Any] = {"name": spec.name}
    data |= spec.model_dump(mode="json", exclude_defaults=True)
    if spec.model is not None and spec.tokenizer.kind == "bpe":
        # Left out it would be read as the model's.
        data["tokenizer"] = {**data.get("tokenizer", {}), "vocab": spec.tokenizer.vocab}
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes text that YAML 1.2's core schema would read as a number. libyaml writes it where there is one."""


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if _is_read_as_it_stands(str(value)) else '"'
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)
    return node


@lru_cache(maxsize=1000)
def _is_read_as_it_stands(text: str) -> bool:
    if not (text.isprintable() and text[:1].isalpha()) or ":" in text or "#" in text:
        return False
    loaded = document.parse(f"key: {text}", name="").data["key"]
    return isinstance(loaded, str) and loaded == text


def _float(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))
    return node


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _float)


def _build(source: Document, folder: Path, *, check_files: bool) -> TrainSpec:
    spec = contract.build(TrainSpec, source)
    _check_preset(spec, source)
    spec = _with_config(spec, source, folder)
    _check_size(spec, source)
    spec = _with_vocab(spec, source)
    if check_files:
        _check_entry(spec, source, folder)
    return _with_paths(spec, source, folder, check_files=check_files)


def _check_preset(spec: TrainSpec, source: Document) -> None:
    preset = spec.model.preset if spec.model else None
    if preset is not None and preset not in PRESETS:
        raise source.error(
            f'there is no preset "{preset}"{contract.nearest(preset, PRESETS)}',
            ("model", "preset"),
            fix=f"{_like(preset)}; or give the dimensions under model.shape, or a config.json as model.config.",
        )


def _like(preset: str) -> str:
    """Some presets that one may have meant; a hundred names would help nobody."""
    near = difflib.get_close_matches(preset, list(PRESETS), n=6, cutoff=0.4)
    return f"Known are {len(PRESETS)}" + (f", such as {', '.join(near)}" if near else "")


def _with_config(spec: TrainSpec, source: Document, folder: Path) -> TrainSpec:
    """The spec with its config.json read."""
    if spec.model is None or spec.model.config is None:
        return spec
    from hanse.workloads import huggingface

    path = folder / Path(spec.model.config).expanduser()
    try:
        shape = huggingface.shape(path, context=spec.model.context)
    except SpecError as error:
        raise source.error(f"{error.where}: {error.what}", ("model", "config"), fix=error.fix) from None
    return spec.model_copy(update={"model": ModelSpec(shape=shape, weights=spec.model.weights)})


def _check_size(spec: TrainSpec, source: Document) -> None:
    """Refuse what no machine could hold, at the dimension that is out of all proportion."""
    if spec.model is None:
        return
    shape = model_shape(spec)
    count = shape_parameters(shape) if shape else spec.model.parameters
    if count is None or count <= _MOST_PARAMETERS:
        return
    key: tuple[str, ...] = ("model", "parameters")
    if shape is not None:
        own = [name for name in _LARGE if ("model", "shape", name) in source.lines]
        worst = max(own, key=lambda name: getattr(shape, name) / _LARGE[name], default=None)
        key = ("model", "shape", worst) if worst else ("model", "config")
    raise source.error(
        f"a model of {format_count(count)} parameters is larger than any machine can train",
        key,
        fix=f"At most {format_count(_MOST_PARAMETERS)} are planned; the largest models have a few trillion.",
    )


def _with_vocab(spec: TrainSpec, source: Document) -> TrainSpec:
    """The spec with the tokenizer's vocab: as written, and no more than the model has embeddings; else the model's."""
    if spec.model is None or spec.tokenizer.kind != "bpe":
        return spec
    shape = model_shape(spec)
    if shape is not None and shape.family == "vit":
        return spec  # its vocab is of classes
    known = shape.vocab if shape else spec.model.vocab
    assert known is not None, "ModelSpec requires vocab beside entry"
    written = ("tokenizer", "vocab")
    vocab = spec.tokenizer.vocab if written in source.lines else known
    own = ("model", "shape", "vocab") if spec.model.shape else ("model", "vocab") if spec.model.entry else ("model",)
    if vocab <= _BYTES:
        raise source.error(
            f"a byte-level tokenizer needs more than {_BYTES} tokens, one a byte, not {vocab}",
            written if written in source.lines else own,
            fix="Enlarge the model's vocab" + (" and the tokenizer's." if written in source.lines else "."),
        )
    if vocab > known:
        raise source.error(
            f"the tokenizer makes {vocab:,} tokens and the model knows {known:,}",
            written,
            fix=f"Leave it out to take the model's {known:,}, or enlarge the model's vocab.",
        )
    return spec.model_copy(update={"tokenizer": spec.tokenizer.model_copy(update={"vocab": vocab})})


def _check_entry(spec: TrainSpec, source: Document, folder: Path) -> None:
    if spec.model is None or spec.model.entry is None:
        return
    top = spec.model.entry.partition(":")[0].partition(".")[0]
    beside = (folder / f"{top}.py", folder / top, folder / "code" / f"{top}.py", folder / "code" / top)
    if not any(each.exists() for each in beside) and importlib.util.find_spec(top) is None:
        raise source.error(
            f'there is no module "{top}" beside this file', ("model", "entry"), fix=f"Write {folder / top}.py."
        )


def _with_paths(spec: TrainSpec, source: Document, folder: Path, *, check_files: bool) -> TrainSpec:
    datasets = []
    for index, dataset in enumerate(spec.data):
        if dataset.source == STDLIB or _REMOTE in dataset.source:
            datasets.append(dataset)
            continue
        absolute = str(folder / Path(dataset.source).expanduser())
        if check_files and not _exists(absolute):
            raise source.error(
                f"nothing is found at {absolute}",
                ("data", index, "source"),
                fix=f"Give a file, a folder or a pattern such as texts/**/*.txt, or {STDLIB}.",
            )
        datasets.append(dataset.model_copy(update={"source": absolute}))
    tokenizer = spec.tokenizer
    if tokenizer.path is not None:
        absolute = str(folder / Path(tokenizer.path).expanduser())
        if check_files and not Path(absolute).is_file():
            raise source.error(f"there is no file {absolute}", ("tokenizer", "path"))
        tokenizer = tokenizer.model_copy(update={"path": absolute})
    changes: dict[str, Any] = {"data": tuple(datasets), "tokenizer": tokenizer}
    if spec.model is not None and spec.model.weights is not None:
        weights = folder / Path(spec.model.weights).expanduser()
        if check_files and not (weights / "config.json").is_file():
            raise source.error(f"there is no config.json in {weights}", ("model", "weights"))
        changes["model"] = spec.model.model_copy(update={"weights": str(weights)})
    return spec.model_copy(update=changes)


def _exists(path: str) -> bool:
    if Path(path).exists():
        return True
    return bool(_GLOB & set(path)) and next(glob.iglob(path, recursive=True), None) is not None  # noqa: PTH207
