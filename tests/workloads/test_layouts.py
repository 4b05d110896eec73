"""What the trainer cannot do has a reason, and the layout it names instead is one it can."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.contracts.layout import Layout
from hanse.contracts.workload import Experts, ModelShape
from hanse.workloads import layouts

DENSE = ModelShape(layers=4, hidden=64, heads=8, kv_heads=4, ffn=96, vocab=128, context=32, tied_head=False)
MIXTURE = DENSE.model_copy(update={"family": "decoder", "experts": Experts(count=6, active=2, ffn=96)})


@pytest.mark.parametrize(
    ("layout", "said", "instead"),
    [
        ({"fsdp": 2, "zero": 1}, "not as zero 1", {"zero": 3}),
        ({"offload": True}, "on the accelerator", {"offload": False}),
        ({"tp": 8, "micro_batch": 8}, "tp 8 does not divide 8 heads, 4 of keys", {"tp": 4, "fsdp": 2}),
        ({"cp": 3}, "cp 3 cuts a context in 6 pieces", {"cp": 1, "fsdp": 3}),
        ({"pp": 2, "micro_batch": 8}, "accumulate is 1", {"pp": 2, "micro_batch": 4, "accumulate": 2}),
        ({"pp": 8, "accumulate": 8}, "8 stages are more than the model's 4 layers", {"pp": 4, "fsdp": 2}),
        ({"dp": 4, "ep": 3}, "does not divide the 4 ranks", {"ep": 2}),
        ({"dp": 4, "ep": 4}, "ep 4 does not divide 6 experts", {"ep": 2}),
        (
            {"pp": 2, "pipeline": "zero-bubble", "chunks": 2, "accumulate": 2, "recompute": "full"},
            "would join again", {"pipeline": "1f1b"},
        ),
        ({"pp": 2, "pipeline": "interleaved", "chunks": 2, "accumulate": 3}, "is no multiple", {"pipeline": "1f1b"}),
        ({"pp": 2, "accumulate": 2, "stages": (2, 3)}, "stages hold 5 layers", {"stages": ()}),
    ],
)  # fmt: skip
def test_each_limit_is_said_with_the_nearest_layout_that_works(
    layout: dict[str, object], said: str, instead: dict[str, object]
) -> None:
    shape = MIXTURE if "ep" in layout else DENSE
    asked = Layout.model_validate({"micro_batch": 24, **layout})
    refused = layouts.refusal(asked, shape)
    assert refused is not None and said in refused, refused
    near = layouts.nearest(asked, shape)
    assert near is not None and f"Nearest that works: {near.describe()}." in refused
    assert {name: getattr(near, name) for name in instead} == instead


def test_a_module_of_the_users_is_split_by_data_and_by_a_plan_of_its_own_only() -> None:
    for degree, layout in (("pp", Layout(pp=2, accumulate=2)), ("cp", Layout(cp=2)), ("ep", Layout(dp=2, ep=2))):
        refused = layouts.refusal(layout, own_module=True)
        assert refused is not None and refused.startswith(f"{degree} 2: ")
    assert layouts.refusal(Layout(tp=2, fsdp=2, dp=2), own_module=True) is None


degrees = st.sampled_from([1, 2, 3, 4, 8])


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            **dict.fromkeys(("dp", "fsdp", "tp", "pp", "cp", "ep", "micro_batch", "accumulate"), degrees),
            "zero": st.sampled_from([1, 2, 3]), "pipeline": st.sampled_from(["1f1b", "interleaved", "zero-bubble"]),
            "chunks": st.sampled_from([1, 2, 3]), "offload": st.booleans(), "sequence_parallel": st.booleans(),
            "recompute": st.sampled_from(["none", "selective", "full"]),
        }
    ),
    st.sampled_from([DENSE, MIXTURE, DENSE.model_copy(update={"tied_head": True}), None]),
)  # fmt: skip
def test_what_is_named_instead_works_on_as_many_ranks_with_the_same_batch(
    values: dict[str, object], shape: ModelShape | None
) -> None:
    try:
        asked = Layout.model_validate(values)
    except ValidationError:
        return
    near = layouts.nearest(asked, shape, own_module=shape is None)
    if layouts.refusal(asked, shape, own_module=shape is None) is None:
        assert near == asked
    if near is not None:
        assert layouts.refusal(near, shape, own_module=shape is None) is None
        assert (near.world_size, near.global_batch) == (asked.world_size, asked.global_batch)
