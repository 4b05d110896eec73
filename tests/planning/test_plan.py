"""Plans: what is chosen and why, and what is said when nothing will do."""

from __future__ import annotations

import pytest

from hanse.contracts.errors import PlanError
from hanse.contracts.layout import Layout
from hanse.contracts.plan import Plan, StepPart
from hanse.contracts.workload import Block, Workload
from hanse.machines import catalogue
from hanse.machines.local import local_machine
from hanse.planning import search, space
from hanse.planning.explain import sentences
from hanse.planning.plan import make
from hanse.planning.supported import refusal
from tests.planning.worlds import LLAMA_8B, SMALL, calibrated, workload

LEONARDO = catalogue.load("leonardo-booster")


def test_a_small_model_on_this_machine_is_planned_whole_and_said_in_sentences() -> None:
    plan = make(workload(SMALL, batch=16, tokens=10**6, precision="fp32"), calibrated(), nodes=2)
    assert plan.layout.world_size == 2
    assert plan.layout.global_batch == 16
    assert plan.memory.fits
    assert plan.steps == 245
    assert plan.step_time.total_s.low < plan.step_time.total_s.expected < plan.step_time.total_s.high
    assert sum(plan.step_time.parts.values()) == pytest.approx(plan.step_time.total_s.expected)
    said = " ".join(plan.why)
    for words in ("ranks", "A step should take", "tokens/s", "matrix products", "GPU-hours", "usable"):
        assert words in said
    assert sentences(plan) == plan.why
    assert Plan.from_json(plan.to_json()) == plan


def test_the_chosen_layout_is_the_fastest_that_can_run_and_fits() -> None:
    work = workload(LLAMA_8B, batch=1024)
    plan = make(work, LEONARDO, nodes=64)
    assert refusal(plan.layout) is None
    everything = space.enumerate_layouts([64], 4, 1024, LLAMA_8B, executable_only=True)
    weighed = search.weigh(work, LLAMA_8B, LEONARDO, everything)
    fastest = weighed.step_s[weighed.fits_memory].min()
    assert plan.step_time.total_s.expected == pytest.approx(fastest, rel=1e-4)
    assert 0 < plan.searched <= len(everything)


def test_under_a_wall_time_the_fewest_nodes_that_keep_it_are_chosen() -> None:
    work = workload(LLAMA_8B, batch=1024, tokens=10**10)
    plan = make(work, LEONARDO, max_wall_time_s=24 * 3600)
    assert plan.wall_time_s.expected <= 24 * 3600
    fewer = [each for each in space.node_counts(64) if each < plan.layout.nodes]
    with pytest.raises(PlanError):
        make(work, LEONARDO, nodes=fewer[-1], max_wall_time_s=24 * 3600)
    assert any("the fewest that finish within" in sentence or "on fewer" in sentence for sentence in plan.why)


def test_without_a_wall_time_the_cheapest_number_of_nodes_is_chosen() -> None:
    work = workload(SMALL, batch=16, tokens=10**6, precision="fp32")
    plan = make(work, calibrated())
    assert plan.layout.nodes == 1
    assert any("the cheapest, since no wall time is asked for" in sentence for sentence in plan.why)
    assert plan.accelerator_seconds <= make(work, calibrated(), nodes=2).accelerator_seconds


def test_what_does_not_fit_is_told_with_the_nearest_misses() -> None:
    with pytest.raises(PlanError, match="fits into memory") as caught:
        make(workload(LLAMA_8B), LEONARDO, nodes=1)
    assert len(caught.value.history) == 2  # fsdp 4, and fsdp 2 in two copies
    assert all("GB a rank of" in line for line in caught.value.history)


def test_a_wall_time_or_a_cap_too_tight_is_told_with_what_is_needed() -> None:
    work = workload(SMALL, batch=16, tokens=10**8, precision="fp32")
    with pytest.raises(PlanError, match="wall time") as caught:
        make(work, calibrated(), max_wall_time_s=60)
    assert "takes" in caught.value.history[0]
    with pytest.raises(PlanError, match="cap on GPU-hours") as caught:
        make(work, calibrated(), max_accelerator_seconds=3600)
    assert "of 1.00\N{NO-BREAK SPACE}GPU-hours" in caught.value.history[0]


def test_a_batch_that_cannot_be_shared_evenly_names_the_next_ones_that_can() -> None:
    with pytest.raises(PlanError, match="30 sequences cannot be shared evenly by the 8 ranks") as caught:
        make(workload(LLAMA_8B, batch=30), LEONARDO, nodes=2)
    assert caught.value.fix == "Set batch: 24 or 32."


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(nodes=2, dp=4, micro_batch=16), "make 4 ranks and 2 nodes of leonardo-booster hold 8"),
        (Layout(nodes=2, dp=8, micro_batch=1), "works through 8 sequences a step and batch is 64"),
        (Layout(nodes=2, tp=8, dp=1, accumulate=8, micro_batch=8, ep=2), "ep 2 does not divide the 1 ranks"),
        (
            Layout(nodes=2, pp=8, micro_batch=16, accumulate=4),
            "accumulate is 4. Nearest that works: .*micro-batch 8 × 8",
        ),
        (Layout(nodes=2, fsdp=8, zero=1, micro_batch=8), "not as zero 1"),
        (Layout(nodes=2, fsdp=8, micro_batch=8, offload=True), "state on the accelerator"),
        (Layout(nodes=2, tp=8, pp=1, micro_batch=64, chunks=2, pipeline="interleaved"), "chunks are a pipeline's"),
    ],
)
def test_a_layout_of_the_users_that_cannot_be_is_refused_in_words(layout: Layout, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        make(workload(LLAMA_8B), LEONARDO, layout=layout)


def test_a_layout_of_the_users_is_weighed_as_it_is() -> None:
    layout = Layout(nodes=32, dp=4, fsdp=32, micro_batch=1, recompute="full")
    plan = make(workload(LLAMA_8B, batch=128), LEONARDO, layout=layout)
    assert plan.layout == layout
    assert plan.searched == 1


def test_a_layout_beyond_the_trainer_is_planned_when_asked_and_says_so() -> None:
    layout = Layout(nodes=2, fsdp=2, zero=1, tp=4, micro_batch=1, accumulate=32, recompute="full")
    plan = make(workload(LLAMA_8B), LEONARDO, layout=layout, executable_only=False)
    assert any("not as zero 1" in sentence for sentence in plan.estimates)


def test_a_layout_of_the_users_may_split_the_model_as_the_trainer_can() -> None:
    layout = Layout(nodes=2, fsdp=2, tp=2, pp=2, micro_batch=1, accumulate=32)
    assert make(workload(LLAMA_8B), LEONARDO, layout=layout).layout == layout


def test_a_precision_the_machine_lacks_names_those_it_has() -> None:
    with pytest.raises(PlanError, match="no bf16 rate") as caught:
        make(workload(SMALL), calibrated())
    assert caught.value.fix == "Set precision: fp32."


def test_partitions_bound_the_nodes_and_the_length_of_one_job() -> None:
    with pytest.raises(PlanError, match="no partition") as caught:
        make(workload(LLAMA_8B), LEONARDO, partition="lrd_all")
    assert "boost_usr_prod" in caught.value.fix


def test_more_nodes_than_the_first_queue_gives_take_the_next_one_that_does() -> None:
    work = workload(LLAMA_8B, batch=1024, tokens=10**12)
    assert make(work, LEONARDO, nodes=128).partition == "boost_usr_prod"
    with pytest.raises(PlanError, match="3000 nodes are more than lumi-g gives one job"):
        make(work, catalogue.load("lumi-g"), nodes=3000)
    plan = make(work, LEONARDO, nodes=64)
    assert any("jobs one after another" in sentence for sentence in plan.why)
    assert any("core-hour" in sentence for sentence in plan.why)


def test_estimates_name_what_nobody_measured_or_published() -> None:
    uncalibrated = make(workload(SMALL, batch=16, precision="fp32"), local_machine(), nodes=2)
    assert any("not calibrated" in each for each in uncalibrated.estimates)
    assert any("bandwidth between ranks" in each for each in uncalibrated.estimates)
    measured = make(workload(SMALL, batch=16, precision="fp32"), calibrated(), nodes=2)
    assert not any("calibrated" in each for each in measured.estimates)
    wide = uncalibrated.step_time.total_s
    narrow = measured.step_time.total_s
    assert narrow.high / narrow.low < wide.high / wide.low


def test_a_plan_says_what_failures_leave_what_the_site_charges_and_what_it_draws() -> None:
    lumi = catalogue.load("lumi-g")
    plan = make(workload(LLAMA_8B, batch=1024, tokens=10**11), lumi, nodes=64)
    assert plan.goodput is not None
    assert plan.expense is not None
    assert plan.expense.amount is not None
    assert plan.expense.energy_joules is not None
    node_hours = plan.wall_time_s.expected / 3600 * plan.layout.nodes
    # The site counts modules, of four on a node; a rank is half of one.
    assert plan.expense.amount.expected == pytest.approx(node_hours * 4)
    assert plan.accelerator_seconds == pytest.approx(node_hours * 8 * 3600, rel=1e-6)
    assert plan.wall_time_s.expected > plan.steps * plan.step_time.total_s.expected
    for words in ("Failures", "Energy", "latency in the node"):
        assert any(words in each for each in plan.estimates)
    assert not any("latency_s" in each for each in plan.estimates)
    assert sum(plan.step_time.hidden.values()) > 0


def test_stages_of_the_users_own_are_weighed_as_they_are() -> None:
    given = {"nodes": 2, "fsdp": 2, "zero": 1, "pp": 4, "micro_batch": 1, "accumulate": 32, "recompute": "full"}
    work, machine = workload(LLAMA_8B), catalogue.load("dgx-h100").model_copy(update={"accelerators_per_node": 4})

    def plan(*stages: int) -> Plan:
        return make(work, machine, layout=Layout(**given, stages=stages), executable_only=False)

    even, same, skewed = plan(), plan(8, 8, 8, 8), plan(6, 6, 6, 14)
    assert same.step_time.total_s == even.step_time.total_s
    assert same.memory == even.memory
    assert skewed.step_time.total_s.expected > 1.3 * even.step_time.total_s.expected
    assert skewed.memory.total > even.memory.total
    assert len(even.memory_by_stage) == 4
    assert skewed.memory == max(skewed.memory_by_stage, key=lambda each: each.total)
    assert skewed.memory_by_stage[0].total < even.memory_by_stage[0].total
    with pytest.raises(PlanError, match="short by"):
        make(work, machine, layout=Layout(**given, stages=(1, 1, 1, 29)), executable_only=False)


@pytest.mark.parametrize(
    ("machine", "said"),
    [("alice-recoque", "the peak rates of"), ("daedalus", "its number of nodes"), ("it4lia", "its number of nodes")],
)
def test_a_machine_of_which_too_little_is_known_is_refused_in_words(machine: str, said: str) -> None:
    with pytest.raises(PlanError, match=f"cannot be planned for: nobody has published .*{said}"):
        make(workload(LLAMA_8B, batch=1024), catalogue.load(machine))


def test_a_machine_whose_nodes_nobody_counted_is_planned_for_so_many() -> None:
    assert make(workload(LLAMA_8B, batch=1024), catalogue.load("daedalus"), nodes=16).layout.nodes == 16


def test_without_a_number_of_nodes_every_partition_is_considered() -> None:
    work = workload(LLAMA_8B, batch=4096, tokens=10**12)
    plan = make(work, LEONARDO, objective="time")
    assert plan.layout.nodes > 64  # the first partition's most
    assert make(work, LEONARDO, objective="time", partition="boost_usr_prod").layout == plan.layout


def test_the_optimisers_state_is_moved_only_where_main_memory_holds_it() -> None:
    node = catalogue.load("dgx-h100")
    layout = Layout(nodes=1, dp=8, micro_batch=8, recompute="full", offload=True)
    work = workload(SMALL, batch=64)
    assert make(work, node, layout=layout, executable_only=False).layout.offload
    short = node.model_copy(update={"host_memory_bytes": 10**6})
    with pytest.raises(PlanError, match="main memory does not hold the optimiser's state"):
        make(work, short, layout=layout, executable_only=False)


def test_several_ranks_without_a_known_link_are_refused_for_the_link_not_for_memory() -> None:
    lonely = calibrated().model_copy(update={"in_node": None, "between_nodes": None, "calibration": None})
    with pytest.raises(PlanError, match="description lacks between_nodes and in_node") as refused:
        make(workload(SMALL, batch=64, precision="fp32"), lonely, nodes=2)
    assert "calibrate" in refused.value.fix


def test_a_module_of_the_users_is_planned_by_its_parameter_count() -> None:
    entry = Workload(
        name="mine", context=256, vocab=4096, global_batch=16, total_tokens=10**6, precision="fp32",
        parameters=5_000_000, flops_per_token=6 * 5e6,
    )  # fmt: skip
    plan = make(entry, calibrated(), nodes=2)
    assert any("module's shape is not known" in each for each in plan.estimates)
    assert plan.memory.parameters == 4 * 5_000_000 // plan.layout.fsdp


def test_a_traced_module_takes_the_time_of_what_was_counted_in_it() -> None:
    def parts(flops: float, moved: float, operations: int) -> dict[StepPart, float]:
        block = Block(
            name="layers", repeats=6, parameters=800_000, forward_flops=flops, elementwise_bytes=moved,
            activation_bytes=10**6, operations=operations,
        )  # fmt: skip
        traced = Workload(
            name="mine", context=256, vocab=4096, global_batch=16, total_tokens=10**6, precision="fp32",
            parameters=5_000_000, flops_per_token=18 * flops / 256, blocks=(block,),
        )  # fmt: skip
        plan = make(traced, calibrated(), layout=Layout(nodes=2, fsdp=2, micro_batch=8))
        assert any("tracing counted" in each for each in plan.estimates)
        return plan.step_time.parts

    once = parts(1e9, 1e6, 40)
    # Forward and twice that back, 8 sequences, at the machine's flat rate of products.
    assert once["matmul"] == pytest.approx(3 * 6 * 1e9 * 8 / 4e10)
    assert parts(2e9, 1e6, 40)["matmul"] == pytest.approx(2 * once["matmul"])
    assert parts(1e9, 1e8, 40)["memory-bound"] > once["memory-bound"]
    assert parts(1e9, 1e6, 80)["launch"] == pytest.approx(2 * once["launch"])
