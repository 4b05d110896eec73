"""What is exported is what others compute with: transformers finds the same logits in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hanse.contracts.workload import ModelShape
from hanse.training.data.prepare import prepare
from hanse.training.data.samples import open_samples
from hanse.training.export import write_export
from tests.training.hands import TINY, make_job, make_run, make_spec, write_texts
from tests.training.test_model import decoder

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("shape", [TINY, TINY.model_copy(update={"tied_head": False, "kv_heads": 4})])
def test_transformers_computes_the_same_logits_from_an_export(tmp_path: Path, shape: ModelShape) -> None:
    transformers = pytest.importorskip("transformers")
    spec = make_spec(write_texts(tmp_path / "texts"), model={"shape": shape.model_dump()})
    job = make_job(make_run(tmp_path / "run", spec), tmp_path / "data")
    prepare(job)
    samples, prepared = open_samples(job)
    ours = decoder(shape, 5).eval()
    write_export(job, dict(ours.state_dict()), samples.manifest, prepared)
    theirs = transformers.LlamaForCausalLM.from_pretrained(job.run.export, dtype=torch.float32).eval()
    tokens = torch.arange(32).view(2, 16) * 7 % shape.vocab
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.run.export)
    assert tokenizer.decode(tokenizer("line 3 of file 2")["input_ids"]) == "line 3 of file 2"


def test_weights_of_a_module_of_yours_keep_their_names_and_shapes(tmp_path: Path) -> None:
    model = {"entry": "mine:build", "vocab": 300, "context": 16}
    spec = make_spec(write_texts(tmp_path / "texts"), model=model)
    job = make_job(make_run(tmp_path / "run", spec), tmp_path / "data")
    prepare(job)
    samples, prepared = open_samples(job)
    weights = {"block.experts.up": torch.randn(2, 3, 4), "head.weight": torch.randn(5)}
    write_export(job, weights, samples.manifest, prepared)
    torch.testing.assert_close(load_file(job.run.export / "model.safetensors"), weights)
