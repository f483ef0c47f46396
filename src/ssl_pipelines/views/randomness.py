"""Randomness as a function of (seed, purpose, numbers), never of earlier draws."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.data.seeding import sequence


def derive(seed: int, purpose: str, *numbers: int) -> int:
    """A 63-bit seed. Different purposes and numbers give independent streams."""
    state = sequence(seed, purpose, *numbers).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator: draws are the same whatever device the training runs on."""
    return torch.Generator().manual_seed(derive(seed, purpose, *numbers))
