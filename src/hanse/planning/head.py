"""Seconds of embedding, output head and loss for one micro-batch: products and the logits' traffic."""

from __future__ import annotations

import numpy as np

from hanse.planning.block import product, rate16, tokens_of
from hanse.planning.constants import Constants
from hanse.planning.inputs import Degrees, Hardware, Model, Stack, Values


def head(model: Model, hardware: Hardware, stack: Stack, degrees: Degrees, constants: Constants) -> Values:
    """Forward and backward, on the ranks that hold the head; tensor parallelism splits the vocabulary."""
    tokens, columns = tokens_of(model, degrees), model.vocab / degrees.tp
    one = product(tokens, model.hidden, columns, rate16(hardware, constants), hardware, stack, constants)
    traffic = constants.logit_bytes * tokens * columns + constants.embedding_bytes * tokens * model.hidden
    passes = 2 + model.weight_gradients
    moved = stack.traffic * traffic / (hardware.memory_bytes_per_s * constants.memory_of_peak)
    return np.where(np.asarray(model.traced_flops) > 0, 0.0, model.predictions * (passes * one + moved))
