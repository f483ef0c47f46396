"""Random numbers as a hash of the indices that they belong to (image, class, repetition): nothing is stored, and no order of draws
matters."""

from __future__ import annotations

import torch
from torch import Tensor

# Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64); products wrap around at 64 bits.
STEP, FIRST, SECOND = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
BITS = 24  # as many as float32 holds


def hashed_uniform(seed: Tensor, count: int, *numbers: Tensor) -> Tensor:
    """seed () int64, numbers (B,) int64 each -> (B, count) in [0, 1), float32: U(0, 1), the same for the same numbers on any device."""
    state = seed
    for number in numbers:
        state = _mixed(state + STEP) ^ _mixed(number * STEP)
    state = _mixed(state.unsqueeze(1) + STEP * torch.arange(1, count + 1, device=state.device))
    return _right(state, 64 - BITS).float() / 2**BITS


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _right(x, 30)) * FIRST
    x = (x ^ _right(x, 27)) * SECOND
    return x ^ _right(x, 31)


def _right(x: Tensor, bits: int) -> Tensor:
    """A shift that fills with zeros; torch's fills with the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
