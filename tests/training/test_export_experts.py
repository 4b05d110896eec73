"""A mixture of experts is exported as Mixtral's, and transformers finds the same logits in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hanse.contracts.workload import Experts
from hanse.training.data.prepare import prepare
from hanse.training.data.samples import open_samples
from hanse.training.export import write_export
from tests.training.hands import TINY, make_job, make_run, make_spec, write_texts
from tests.training.test_model import decoder

pytestmark = pytest.mark.torch


def test_transformers_computes_the_same_logits_from_an_export_with_experts(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    shape = TINY.model_copy(
        update={"family": "decoder", "ffn": 32, "experts": Experts(count=4, active=2, ffn=32), "tied_head": False}
    )
    spec = make_spec(write_texts(tmp_path / "texts"), model={"shape": shape.model_dump()})
    job = make_job(make_run(tmp_path / "run", spec), tmp_path / "data")
    prepare(job)
    samples, prepared = open_samples(job)
    ours = decoder(shape, 5).eval()
    write_export(job, dict(ours.state_dict()), samples.manifest, prepared)
    theirs = transformers.MixtralForCausalLM.from_pretrained(job.run.export, dtype=torch.float32).eval()
    tokens = torch.arange(32).view(2, 16) * 7 % shape.vocab
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)
