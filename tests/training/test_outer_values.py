"""What legs send one another: rounding within bounds that feedback makes good, fragments, and the outer step's sum."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanse.contracts.errors import NotAsWritten, UsageError
from hanse.contracts.outer import Codec, OuterLeg, OuterTerms
from hanse.training.outer import merge
from hanse.training.outer.fragments import fragments_of
from hanse.training.outer.quantise import Values, decode, encode, encoded_bytes, error_bound

CODECS = st.sampled_from(get_args(Codec))
SIZES = st.floats(2.0**-100, 2.0**100, width=32)
NUMBERS = st.one_of(st.just(0.0), SIZES, SIZES.map(lambda size: -size))
VECTORS = arrays.arrays(np.float32, st.integers(0, 700), elements=NUMBERS)
SMALL = st.integers(1, 40).flatmap(
    lambda count: st.lists(
        arrays.arrays(np.float32, count, elements=st.floats(-1, 1, width=32)), min_size=1, max_size=6
    )
)


def terms(**changes: object) -> OuterTerms:
    keys = ("A" * 43 + "=", "B" * 43 + "=")
    legs = tuple(OuterLeg(name=name, public_key=key) for name, key in zip(("a", "b"), keys, strict=True))
    return OuterTerms(run_id="run-1", legs=legs).model_copy(update=changes)


@settings(max_examples=60, deadline=None)
@given(VECTORS, CODECS)
def test_what_is_decoded_lies_within_the_codecs_bound_of_what_was_encoded(values: Values, codec: Codec) -> None:
    payload = encode(values, codec)
    assert len(payload) == encoded_bytes(len(values), codec)
    decoded = decode(payload, len(values), codec)
    assert decoded.dtype == np.float32 and decoded.shape == values.shape
    assert (np.abs(decoded - values) <= error_bound(values, codec)).all()


@settings(max_examples=60, deadline=None)
@given(SMALL, st.sampled_from(["bf16", "int8", "int4"]))
def test_with_error_feedback_what_was_sent_sums_to_what_was_meant_but_for_one_rounding(
    meant: list[Values], codec: Codec
) -> None:
    kept, received = np.zeros_like(meant[0]), np.zeros(len(meant[0]))
    for part in meant:
        wanted = part + kept
        sent = decode(encode(wanted, codec), len(wanted), codec)
        received += sent
        kept = wanted - sent
    missing = np.sum(np.array(meant, dtype=np.float64), axis=0) - received
    assert np.allclose(missing, kept, atol=1e-5)
    assert (np.abs(kept) <= error_bound(wanted, codec) + 1e-6).all()


def test_bf16_is_rounded_as_torch_rounds_it() -> None:
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    theirs = torch.from_numpy(values).to(torch.bfloat16).to(torch.float32).numpy()
    assert np.array_equal(decode(encode(values, "bf16"), len(values), "bf16"), theirs)


def test_a_leg_that_has_gone_astray_sends_nothing_and_nobody_merges_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        encode(np.array([1.0, np.nan], dtype=np.float32), "int8")
    with pytest.raises(NotAsWritten, match="not finite"):
        decode(np.array([np.inf], dtype="<f4").tobytes(), 1, "fp32")
    with pytest.raises(NotAsWritten, match="12 bytes; 2 values as fp32 are 8"):
        decode(bytes(12), 2, "fp32")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.integers(1, 8))
def test_fragments_hold_every_parameter_once_in_order_and_never_cut_a_block(sizes: list[int], count: int) -> None:
    names = {f"blocks.{n // 2}.part{n % 2}": size for n, size in enumerate(sizes)} | {"norm": 3}
    blocks = (len(sizes) + 1) // 2 + 1
    if blocks < count:
        with pytest.raises(UsageError, match=f"has {blocks} blocks"):
            fragments_of(names, count)
        return
    found = fragments_of(names, count)
    assert len(found) == count and all(found)
    assert [name for fragment in found for name in fragment] == list(names)
    homes = [{name.rpartition(".")[0] or name for name in fragment} for fragment in found]
    assert all(one.isdisjoint(other) for n, one in enumerate(homes) for other in homes[:n])


def test_equal_blocks_make_equal_fragments() -> None:
    names = {f"layers.{n}.w": 10 for n in range(8)}
    assert [len(each) for each in fragments_of(names, 4)] == [2, 2, 2, 2]


@settings(max_examples=30, deadline=None)
@given(SMALL, st.booleans(), st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([1.0, 0.7]))
def test_the_outer_step_is_that_of_torchs_sgd(
    gradients: list[Values], nesterov: bool, momentum: float, lr: float
) -> None:
    agreed = terms(lr=lr, momentum=momentum, nesterov=nesterov)
    theirs = torch.nn.Parameter(torch.ones(len(gradients[0])))
    # torch refuses Nesterov without momentum: the two are the same then.
    optimiser = torch.optim.SGD([theirs], lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)
    ours, buffer = np.ones(len(gradients[0]), dtype=np.float32), np.zeros(len(gradients[0]), dtype=np.float32)
    for gradient in gradients:
        ours, buffer = merge.stepped(ours, buffer, gradient, agreed)
        theirs.grad = torch.from_numpy(gradient)
        optimiser.step()
    assert np.allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_a_part_weighs_as_much_as_its_tokens() -> None:
    one, three = np.full(4, 1.0, dtype=np.float32), np.full(4, 5.0, dtype=np.float32)
    assert np.array_equal(merge.mean([one, three], [100, 300]), np.full(4, 4.0, dtype=np.float32))
    assert merge.norm(three) == 10.0
    assert merge.fingerprint(one) != merge.fingerprint(three)
