"""Randomness as a function of the seed and the purpose."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *more: int) -> np.random.Generator:
    """An own stream for every (seed, purpose, ...): drawing for one purpose never shifts another."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *more]))
