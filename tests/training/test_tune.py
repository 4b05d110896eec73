"""Fine-tuning: what is loaded is what was stored, adapters alone move, and what is exported says the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hanse.contracts.errors import NotAsWritten
from hanse.contracts.layout import Layout
from hanse.contracts.workload import Lora
from hanse.training import tune
from hanse.training.data.prepare import prepare
from hanse.training.data.samples import open_samples
from hanse.training.export import write_export
from hanse.training.job import Job
from hanse.training.model import Decoder
from hanse.workloads.supported import refusal
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import TINY, make_job, make_run, make_spec, write_texts
from tests.training.test_model import decoder

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as another trained them: of the Llama family, with constants of its own."""
    place = tmp_path_factory.mktemp("base")
    job = make_job(make_run(place / "run", make_spec(write_texts(place / "texts"))), place / "data")
    prepare(job)
    samples, prepared = open_samples(job)
    write_export(job, dict(decoder(TINY, 5).state_dict()), samples.manifest, prepared)
    path = job.run.export / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rope_theta": 500000.0, "rms_norm_eps": 1e-6}))
    return job.run.export


def tuned(base: Path, tmp_path: Path, name: str, layout: Layout, **changes: object) -> Job:
    model = {"shape": TINY.model_dump(), "weights": str(base)}
    own = {"kind": "file", "path": str(base / "tokenizer.json")}
    texts = base.parent.parent / "texts"
    spec = make_spec(texts, model=model, tokenizer=own, **{"training": "lora", "lora": {"rank": 4}} | changes)
    assert refusal(spec) is None
    return with_layout(make_job(make_run(tmp_path / name, spec), tmp_path / "data"), layout)


def loaded(job: Job) -> Decoder:
    with torch.device("meta"):
        model = tune.adapt(Decoder(TINY), job)
    model.to_empty(device="cpu")
    first = tune.first_values(job)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(first(name, parameter.shape))
    return model


def test_weights_are_loaded_to_the_logits_that_transformers_computes(base: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tokens = torch.arange(32).view(2, 16) * 7 % TINY.vocab
    ours = loaded(tuned(base, tmp_path, "run", Layout(micro_batch=8)))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)


def test_adapters_train_alike_in_every_layout_and_alone_and_are_exported_merged_and_by_themselves(
    base: Path, tmp_path: Path
) -> None:
    single = tuned(base, tmp_path, "single", Layout(micro_batch=8))
    sharded = tuned(base, tmp_path, "sharded", Layout(fsdp=2, micro_batch=4))
    again = with_layout(sharded, Layout(dp=2, micro_batch=4), attempt=2)
    together(1, Trained(single))
    together(2, Trained(sharded, stop_after=7))
    together(2, Trained(again))
    assert losses(sharded) + losses(again) == pytest.approx(losses(single), rel=1e-5)
    samples, _ = open_samples(single)
    ids = torch.from_numpy(samples.batch(1, batch=8, part=0, parts=1))
    logits = loaded(single)(ids[:, :-1])
    first = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
    assert losses(single)[0] == pytest.approx(first.item(), rel=1e-5), "training begins at the model that was loaded"
    assert losses(single)[-1] < losses(single)[0]

    was, now = load_file(base / "model.safetensors"), load_file(single.run.export / "model.safetensors")
    adapters = load_file(single.run.export / "adapter" / "adapter_model.safetensors")
    config = json.loads((single.run.export / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], len(config["target_modules"])) == (4, 8, 7)
    assert was.keys() == now.keys() and len(adapters) == 2 * 2 * 7
    for name, value in was.items():
        prefix = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        if f"{prefix}A.weight" in adapters:
            value = value + 2.0 * adapters[f"{prefix}B.weight"] @ adapters[f"{prefix}A.weight"]
            assert not torch.equal(value, was[name])
        torch.testing.assert_close(now[name], value)
    assert json.loads((single.run.export / "config.json").read_text())["rope_theta"] == 500000.0


def test_finetuning_moves_every_weight_from_where_it_was(base: Path, tmp_path: Path) -> None:
    job = tuned(base, tmp_path, "run", Layout(micro_batch=8), training="finetuning", lora=None)
    together(1, Trained(job))
    was, now = load_file(base / "model.safetensors"), load_file(job.run.export / "model.safetensors")
    assert losses(job)[-1] < losses(job)[0] and not (job.run.export / "adapter").exists()
    assert all(not torch.equal(was[name], now[name]) for name in was)


def test_weights_of_another_model_or_with_scaled_positions_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    job = tuned(base, tmp_path, "run", Layout(micro_batch=8))
    for changes, words in (
        ({"num_hidden_layers": 3}, "of another model: layers 3, not 2"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rotary positions are scaled"),
    ):
        other = tmp_path / words.split()[0]
        other.mkdir()
        (other / "config.json").write_text(json.dumps(json.loads((base / "config.json").read_text()) | changes))
        model = job.model.model_copy(update={"weights": str(other)})
        with pytest.raises(NotAsWritten, match=words):
            loaded_with(job, model)


def loaded_with(job: Job, model: object) -> Decoder:
    from dataclasses import replace

    return loaded(replace(job, spec=job.spec.model_copy(update={"model": model})))


def test_an_adapter_counts_alpha_over_rank_times() -> None:
    assert tune.scale_of(Lora(rank=16)) == 2.0 and tune.scale_of(Lora(rank=16, alpha=16)) == 1.0
    assert tune.targets_of(Lora(targets="attention")) == ("q", "k", "v", "o")
