"""Evaluations a second of Calculon and llm-analysis, where they are installed: GPT-3 175B on 4,096 A100s, one layout
after another, as both are made. Neither is a dependency; Calculon counts only as a checkout, which has its systems.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

RANKS, BATCH, LAYERS, HIDDEN, HEADS, CONTEXT = 4096, 1536, 96, 12288, 96, 2048
BUDGET_S = 5.0


def installed(module: str) -> bool:
    """Another package on PyPI is called calculon too: the very module is asked for, and has to import."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def rates() -> dict[str, float | None]:
    """Layouts a second of CPU time; None where a peer is not installed."""
    return {
        "calculon": _rate(_calculon()) if installed("calculon.llm") else None,
        "llm_analysis": _rate(_llm_analysis()) if installed("llm_analysis.analysis") else None,
    }


def _rate(turns: Iterable[Callable[[], object]]) -> float:
    done, began = 0, time.process_time()
    for turn in turns:
        turn()
        done += 1
        if time.process_time() - began > BUDGET_S:
            break
    return done / (time.process_time() - began)


def _degrees() -> Iterable[tuple[int, int, int, int]]:
    """tp, pp, dp, micro-batch that divide ranks and batch, over and over."""
    found = [
        (tp, pp, RANKS // (tp * pp), micro_batch)
        for tp, pp, micro_batch in product((1, 2, 4, 8), (1, 2, 4, 8, 16, 32), (1, 2, 4))
        if BATCH % (RANKS // (tp * pp) * micro_batch) == 0
    ]
    while True:
        yield from found


def _calculon() -> Iterable[Callable[[], object]]:
    package: Any = importlib.import_module("calculon")
    llm: Any = importlib.import_module("calculon.llm")
    systems = Path(package.__file__).parents[1] / "systems"
    quiet = logging.getLogger("calculon-quiet")
    quiet.addHandler(logging.NullHandler())
    application = llm.Llm.Application(
        {
            "name": "gpt3-175B", "hidden": HIDDEN, "feedforward": 4 * HIDDEN, "seq_size": CONTEXT, "attn_heads": HEADS,
            "attn_size": HIDDEN // HEADS, "num_blocks": LAYERS,
        }
    )  # fmt: skip
    description = package.io.read_json_file(str(systems / "a100_80g.json"))

    def turn(tp: int, pp: int, dp: int, micro_batch: int) -> object:
        execution = llm.Llm.Execution.from_json(
            {
                "num_procs": RANKS, "tensor_par": tp, "pipeline_par": pp, "data_par": dp, "tensor_par_net": 0,
                "pipeline_par_net": 1, "data_par_net": 1, "batch_size": BATCH, "microbatch_size": micro_batch,
                "datatype": "float16", "fused_activation": True, "attention_type": "multihead",
                "activation_recompute": "full", "pipeline_interleaving": 1, "optimizer_sharding": True,
                "tensor_par_comm_type": "rs_ag", "tensor_par_overlap": "none", "seq_par_ag_redo": False,
                "data_par_overlap": False, "weight_offload": False, "activations_offload": False,
                "optimizer_offload": False, "training": True,
            }
        )  # fmt: skip
        model = llm.Llm(application, quiet)
        try:
            system = package.System(description)
            model.compile(system, execution)
            model.run(system)
        except llm.Llm.Error as error:  # it does not fit: an answer too
            return error
        return model.get_total_time()

    for each in _degrees():
        yield lambda each=each: turn(*each)  # type: ignore[misc]


def _llm_analysis() -> Iterable[Callable[[], object]]:
    logging.disable(logging.ERROR)
    analysis: Any = importlib.import_module("llm_analysis.analysis")
    config: Any = importlib.import_module("llm_analysis.config")
    model = config.ModelConfig(
        name="gpt3-175B", num_layers=LAYERS, n_head=HEADS, hidden_dim=HIDDEN, vocab_size=51200, max_seq_len=CONTEXT
    )
    gpu = config.get_gpu_config_by_name("a100-sxm-80gb")

    def turn(tp: int, pp: int, dp: int, micro_batch: int) -> object:
        parallel = config.ParallelismConfig(tp_size=tp, pp_size=pp, dp_size=dp)
        made = analysis.LLMAnalysis(model, gpu, config.DtypeConfig(), parallel, flops_efficiency=0.5)
        recompute = analysis.ActivationRecomputation.FULL
        try:
            return made.training(
                batch_size_per_gpu=micro_batch, global_batch_size=BATCH, seq_len=CONTEXT,
                activation_recomputation=recompute,
            )  # fmt: skip
        except AssertionError as error:  # it does not fit: an answer too
            return error

    for each in _degrees():
        yield lambda each=each: turn(*each)  # type: ignore[misc]
