"""Specs for tests: one that is whole, and a hypothesis strategy for any that is valid."""

from __future__ import annotations

from hypothesis import strategies as st

from hanse.contracts.layout import Layout
from hanse.contracts.spec import (
    CheckpointSpec,
    CommandSpec,
    DatasetSpec,
    ModelSpec,
    OptimizerSpec,
    ScheduleSpec,
    TokenizerSpec,
    TrainSpec,
    WhereSpec,
)
from hanse.contracts.workload import Experts, LatentAttention, Lora, ModelShape
from hanse.workloads import shapes as shapes_of
from hanse.workloads.presets import PRESETS

WHOLE = """\
name: stdlib-lm
purpose: a language model of Python's own source
model:
  shape:
    layers: 4
    hidden: 256
    heads: 4
    kv_heads: 2
    ffn: 688
    vocab: 4096
    context: 256
data:
  - name: stdlib
    source: python-stdlib
    licence: PSF-2.0
batch: 32
tokens: 2M
precision: fp32
where:
  machines: [local]
  wall_time_s: 10m
  max_gpu_hours: 1
"""

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
some_text = texts.filter(bool)
counts = st.integers(1, 2**40)
positive = st.floats(1e-9, 1e6, allow_nan=False)
fractions = st.floats(0, 1)


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    kv_heads = draw(st.integers(1, 8))
    heads = kv_heads * draw(st.integers(1, 8))
    return ModelShape(
        layers=draw(st.integers(1, 128)), hidden=heads * 2 * draw(st.integers(1, 64)), heads=heads, kv_heads=kv_heads,
        ffn=draw(st.integers(1, 30000)), vocab=draw(st.integers(4096, 300000)), context=draw(st.integers(1, 32768)),
        tied_head=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def experts(draw: st.DrawFn, layers: int) -> Experts:
    count = draw(st.integers(1, 64))
    return Experts(
        count=count, active=draw(st.integers(1, count)), ffn=draw(st.integers(1, 2048)),
        shared_ffn=draw(st.integers(0, 2048)), dense_layers=draw(st.integers(0, layers - 1)),
    )  # fmt: skip


@st.composite
def mixtures(draw: st.DrawFn) -> ModelShape:
    """Decoders of which at least one block has experts."""
    plain = draw(shapes())
    found = draw(experts(plain.layers))
    return plain.model_copy(update={"family": "decoder", "experts": found, "gated": draw(st.booleans())})


@st.composite
def transformers(draw: st.DrawFn) -> ModelShape:
    """Any shape there is: decoders with experts and latent attention, encoders, vision transformers."""
    family = draw(st.sampled_from(["llama", "decoder", "encoder", "vit"]))
    plain = draw(shapes())
    if family == "llama":
        return plain
    fields = plain.model_dump() | {
        "family": family, "gated": draw(st.booleans()), "norm": draw(st.sampled_from(["rms", "layer"])),
        "positions": draw(st.sampled_from(["rotary", "learned", "alibi", "none"])),
        "biases": draw(st.sampled_from(["none", "qkv", "all"])), "qk_norm": draw(st.booleans()),
        "layer_norms": draw(st.integers(0, 4)), "extra_parameters": draw(st.integers(0, 10**6)),
        "window": draw(st.none() | st.integers(1, 4096)),
    }  # fmt: skip
    if fields["window"] is not None:
        fields["full_attention_every"] = draw(st.none() | st.integers(1, 8))
    if family == "vit":
        fields["patch_elements"] = draw(st.integers(1, 1000))
    if family == "decoder" and draw(st.booleans()):
        fields["experts"] = draw(experts(fields["layers"]))
        fields["mtp_layers"] = draw(st.integers(0, 2))
    if family == "decoder" and draw(st.booleans()):
        fields["biases"] = "none"
        fields["latent"] = LatentAttention(
            q_rank=draw(st.none() | st.integers(1, 512)), kv_rank=draw(st.integers(1, 512)),
            nope_dim=draw(st.integers(1, 128)), rope_dim=draw(st.integers(1, 64)), v_dim=draw(st.integers(1, 128)),
        )  # fmt: skip
    return ModelShape.model_validate(fields)


models = st.one_of(
    # Larger ones are refused as such.
    st.builds(ModelSpec, shape=transformers().filter(lambda shape: shapes_of.parameters(shape) <= 10**14)),
    st.builds(ModelSpec, preset=st.sampled_from(["llama-3-8b", "deepseek-v3", "vit-b-16"]), context=st.none() | counts),
    st.builds(ModelSpec, preset=st.sampled_from(sorted(PRESETS))),
    st.builds(ModelSpec, entry=st.just("json.tool:main"), vocab=st.integers(4096, 9999), context=counts),
)
datasets = st.builds(
    DatasetSpec, name=names, source=st.sampled_from(["python-stdlib", "/", "/etc/host*"]), licence=some_text,
    personal_data=st.booleans(), weight=st.none(),
)  # fmt: skip
weighted = st.builds(DatasetSpec, name=names, source=st.just("s3://bucket/*"), licence=some_text, weight=positive)
datasets_together = st.one_of(
    st.lists(kind, min_size=1, max_size=3, unique_by=lambda each: each.name).map(tuple) for kind in (datasets, weighted)
)
wheres = st.builds(
    WhereSpec, machines=st.lists(names, min_size=1, max_size=3).map(tuple), partition=st.none() | texts,
    account=st.none() | texts, nodes=st.none() | st.integers(1, 9999), wall_time_s=counts, max_gpu_hours=positive,
)  # fmt: skip
trainings = st.builds(
    TrainSpec, name=names, purpose=texts, model=models, data=datasets_together,
    tokenizer=st.builds(TokenizerSpec, vocab=st.integers(257, 4096)), batch=counts, tokens=counts,
    optimizer=st.builds(OptimizerSpec, lr=positive, betas=st.tuples(fractions, fractions), clip_norm=positive),
    schedule=st.builds(ScheduleSpec, kind=st.sampled_from(["cosine", "constant"]), warmup=fractions),
    precision=st.sampled_from(["fp32", "bf16", "fp8"]), seed=st.integers(0, 2**31),
    checkpoint=st.builds(CheckpointSpec, every_steps=st.none() | counts),
    layout=st.none() | st.builds(Layout, nodes=st.integers(1, 64), fsdp=st.integers(1, 64)), where=wheres,
)  # fmt: skip
known = models.filter(lambda model: model.entry is None)
"""Models whose shape is known: what an adapter may be trained beside."""

adapted = st.builds(
    TrainSpec, name=names, model=known, training=st.just("lora"), batch=counts, tokens=counts, where=wheres,
    data=st.lists(datasets, min_size=1, max_size=1).map(tuple), tokenizer=st.just(TokenizerSpec(vocab=300)),
    lora=st.none() | st.builds(Lora, rank=st.integers(1, 512), targets=st.sampled_from(["attention", "all"])),
)  # fmt: skip
commands = st.builds(
    TrainSpec, name=names, purpose=texts, where=wheres,
    command=st.builds(CommandSpec, run=some_text, image=st.none() | texts, accelerators_per_node=counts),
)  # fmt: skip
