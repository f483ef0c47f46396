"""Randomness as a function of the seed and the purpose."""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, purpose: str, *more: int) -> np.random.SeedSequence:
    """The one place where a seed, a purpose and numbers become entropy."""
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *more])


def generator(seed: int, purpose: str, *more: int) -> np.random.Generator:
    """An own stream for every (seed, purpose, ...): drawing for one purpose never shifts another."""
    return np.random.default_rng(sequence(seed, purpose, *more))
