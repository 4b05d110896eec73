"""One machine, several apart, several together: laws of time, bytes and loss, and which way is proposed."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts.errors import PlanError, UsageError
from hanse.contracts.machine import Machine
from hanse.contracts.plan import Plan
from hanse.machines import catalogue
from hanse.planning import between, between_text, legs_loss, plan
from hanse.planning.choose import Limits
from hanse.planning.ways import Between, Way
from tests.planning.worlds import LLAMA_8B, workload

NAMES = ("leonardo-booster", "lumi-g", "marenostrum5-acc")
speeds = st.floats(min_value=1e5, max_value=1e12)
codecs = st.sampled_from(list(between.BYTES_PER_VALUE))


@cache
def machine(name: str) -> Machine:
    return catalogue.load(name)


@cache
def alone(name: str, batch: int = 1024, nodes: int = 32) -> Plan:
    return plan.make(workload(LLAMA_8B, batch=batch, tokens=10**11), machine(name), nodes=nodes)


def compared(*names: str, batch: int = 1024, **how: object) -> Between:
    return between.compare([alone(name, batch) for name in names], [machine(name) for name in names], **how)  # type: ignore[arg-type]


def way(made: Between, kind: str) -> Way:
    return next(each for each in made.ways if each.kind == kind)


@settings(max_examples=15, deadline=None)
@given(first=speeds, second=speeds, steps=st.integers(1, 600), kind=st.sampled_from(["apart", "together"]))
def test_a_faster_link_never_makes_a_run_longer(first: float, second: float, steps: int, kind: str) -> None:
    slow, fast = (
        way(compared(*NAMES[:2], link=between.given(speed), inner_steps=steps, codec="bf16"), kind).wall_time_s
        for speed in sorted((first, second))
    )
    for pick in ("low", "expected", "high"):
        assert getattr(fast, pick) <= getattr(slow, pick) * (1 + 1e-9)


@settings(max_examples=10, deadline=None)
@given(codec=codecs, steps=st.integers(1, 600))
def test_bytes_follow_the_codec_and_every_leg_hears_all_others(codec: str, steps: int) -> None:
    made = way(compared(*NAMES, inner_steps=steps, codec=codec), "apart")
    values = alone(NAMES[0]).workload.trainable
    for leg in made.legs:
        assert leg.sent_bytes == round(values * between.BYTES_PER_VALUE[codec])  # type: ignore[index]
        assert leg.received_bytes == 2 * leg.sent_bytes
    assert made.terms is not None and made.terms.codec == codec


def test_one_leg_is_a_plain_plan() -> None:
    made = compared("lumi-g")
    plain = alone("lumi-g")
    assert [each.kind for each in made.ways] == ["one machine"]
    assert made.best == made.ways[0]
    assert made.ways[0].wall_time_s == plain.wall_time_s
    assert made.ways[0].accelerator_seconds.expected == pytest.approx(plain.accelerator_seconds, abs=1)


@settings(max_examples=10, deadline=None)
@given(speed=speeds, count=st.sampled_from([2, 3]))
def test_all_tokens_are_trained_on_and_no_round_too_many(speed: float, count: int) -> None:
    made = way(compared(*NAMES[:count], link=between.given(speed)), "apart")
    per_round = sum(leg.batch * leg.inner_steps for leg in made.legs) * LLAMA_8B.context
    assert (made.exchanges - 1) * per_round < 10**11 <= made.exchanges * per_round
    assert made.accelerator_seconds.expected == pytest.approx(
        sum(leg.wall_time_s.expected * leg.accelerators for leg in made.legs)
    )


def test_with_the_link_that_is_needed_so_much_of_the_time_waits() -> None:
    for steps, codec in ((50, "bf16"), (300, "fp32"), (30, "int4")):
        needs = way(compared(*NAMES[:2], inner_steps=steps, codec=codec), "apart").needs_bytes_per_s
        if needs is None:
            continue
        made = way(compared(*NAMES[:2], inner_steps=steps, codec=codec, link=between.given(needs * 1.001)), "apart")
        assert made.waiting is not None and made.waiting.expected <= between.WAITING


def test_a_slower_machine_trains_fewer_steps_so_that_rounds_take_as_long() -> None:
    made = way(compared(*NAMES[:2], inner_steps=100), "apart")
    rounds_s = [leg.inner_steps * leg.step_time_s.expected for leg in made.legs]
    assert max(leg.inner_steps for leg in made.legs) == 100
    assert max(rounds_s) / min(rounds_s) < 1.02


def test_a_slow_link_asks_for_more_inner_steps_and_fewer_bits() -> None:
    terms = [way(compared(*NAMES[:2], link=between.given(speed)), "apart").terms for speed in (1e11, 2e7)]
    assert terms[0] is not None and terms[1] is not None
    assert (terms[0].inner_steps, terms[0].codec) != (terms[1].inner_steps, terms[1].codec)
    assert terms[0].inner_steps <= terms[1].inner_steps
    for each in terms:
        assert each is not None and each.overlap_steps < max(1, each.inner_steps // each.fragments)


def test_one_machine_is_proposed_while_it_keeps_the_limits_and_apart_when_none_does() -> None:
    one = min(alone(name).wall_time_s.expected for name in NAMES[:2])
    assert compared(*NAMES[:2], limits=Limits(finish_by_s=1.01 * one)).best.kind == "one machine"  # type: ignore[union-attr]
    tight = compared(*NAMES[:2], limits=Limits(finish_by_s=0.8 * one))
    assert tight.best is not None and tight.best.kind == "apart"
    assert "no machine alone" in between_text.proposal(tight)
    never = compared(*NAMES[:2], limits=Limits(finish_by_s=0.01 * one))
    assert never.best is None and "None of them" in between_text.proposal(never)


def test_who_asks_for_time_is_sent_apart_and_nobody_is_sent_where_nodes_have_no_route() -> None:
    made = compared(*NAMES[:2], objective="time", link=between.given(1e12))
    assert made.best is not None and made.best.kind == "apart"
    assert way(made, "together").against


@pytest.mark.parametrize(
    ("parameters", "legs", "expected"),
    [(35_000_000, 8, 3.621 / 3.485 - 1), (2_400_000_000, 2, 2.323 / 2.326 - 1), (10_000_000_000, 4, 2.096 / 2.090 - 1)],
)
def test_the_loss_is_the_published_one_at_published_sizes(parameters: int, legs: int, expected: float) -> None:
    found = legs_loss.penalty(parameters, legs, 30)
    assert found is not None and not found.outside
    assert found.share.expected == pytest.approx(expected)
    assert found.share.low < expected < found.share.high


@given(parameters=st.integers(10**7, 10**11), legs=st.integers(2, 7))
def test_more_legs_never_lose_less_and_what_nobody_published_is_not_known(parameters: int, legs: int) -> None:
    fewer, more = (legs_loss.penalty(parameters, each, 30) for each in (legs, legs + 1))
    assert fewer is not None and more is not None
    assert fewer.share.expected <= more.share.expected + 1e-12
    assert legs_loss.penalty(parameters, 9, 30) is None
    assert len(legs_loss.penalty(parameters, legs, 1000).outside) >= 2  # type: ignore[union-attr]


@given(batch=st.integers(1, 10**6), legs=st.integers(1, 64))
def test_a_batch_is_shared_evenly_or_nearly(batch: int, legs: int) -> None:
    shares = between.shared_batches(batch, legs)
    assert bool(shares) == (batch >= legs)
    for share in shares:
        assert (batch // legs) / 2 < share <= batch / legs
    if shares and batch % legs == 0:
        assert shares[0] * legs == batch
    assert list(shares) == sorted(shares, reverse=True)


def test_a_leg_keeps_its_nodes_where_an_odd_share_would_not_divide() -> None:
    legs = way(compared(*NAMES), "apart").legs
    assert {leg.nodes for leg in legs} == {32}
    assert all(leg.batch <= 1024 // 3 for leg in legs)


def test_what_cannot_be_shared_or_is_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        compared("lumi-g", "lumi-g")
    with pytest.raises(UsageError, match="inner steps"):
        compared(*NAMES[:2], inner_steps=0)
    single = alone("lumi-g").model_copy(
        update={"workload": alone("lumi-g").workload.model_copy(update={"global_batch": 1})}
    )
    with pytest.raises(PlanError, match="cannot be shared"):
        between.compare([single, single], [machine(name) for name in NAMES[:2]])


def test_the_arithmetic_is_told_with_its_figures() -> None:
    made = compared(*NAMES[:2], inner_steps=100, codec="int8", link=between.given(125e6))
    said = " ".join(between_text.arithmetic(made, way(made, "apart")))
    assert "8.03\N{NO-BREAK SPACE}billion values × 1.016 bytes (int8)" in said
    assert "16.3\N{NO-BREAK SPACE}GB each outer step" in said
    assert legs_loss.SOURCE in said
    assert "1.00\N{NO-BREAK SPACE}Gbit/s, as given" in between_text.link(made.link)
