"""The order of training: every image once an epoch, and a function of (seed, step) alone."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Sampler, batch_ids, steps_per_epoch


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_an_epoch_has_every_image_at_most_once(n: int, batch_size: int, seed: int, epoch: int) -> None:
    if n < batch_size:
        return
    ids = np.arange(n) * 7 + 3
    steps = steps_per_epoch(n, batch_size)
    batches = [batch_ids(ids, batch_size, seed, epoch * steps + i) for i in range(steps)]
    drawn = np.concatenate(batches)
    assert all(batch.shape == (batch_size,) for batch in batches)
    assert len(set(drawn)) == len(drawn) == steps * batch_size
    assert set(drawn) <= set(ids)
    if n % batch_size == 0:
        assert set(drawn) == set(ids)


def test_it_remembers_nothing() -> None:
    ids = np.arange(100)
    forward = [batch_ids(ids, 32, 5, step) for step in range(12)]
    backward = [batch_ids(ids, 32, 5, step) for step in reversed(range(12))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not np.array_equal(batch_ids(ids, 32, 6, 0), forward[0])
    assert not np.array_equal(forward[0], forward[3])  # the next epoch's first


def test_stream_is_the_documented_one() -> None:
    seeds = np.random.SeedSequence([9, zlib.crc32(b"sampler"), 2])
    expected = np.random.default_rng(seeds).permutation(10)[4:8]
    assert batch_ids(np.arange(10), 4, 9, 5).tolist() == expected.tolist()
    assert Sampler(np.arange(10), 4, 9).batch_ids(5).tolist() == expected.tolist()


def test_a_caller_cannot_spoil_the_next_draw() -> None:
    first = batch_ids(np.arange(8), 8, 0, 0)
    kept = first.copy()
    first[:] = -1
    assert np.array_equal(batch_ids(np.arange(8), 8, 0, 0), kept)


def test_batch_larger_than_the_data() -> None:
    with pytest.raises(InputError, match=r"pretrain\.batch_size=64 is larger .* allowed is 1 to 63"):
        steps_per_epoch(63, 64)
    assert (steps_per_epoch(64, 64), steps_per_epoch(127, 64)) == (1, 1)
