"""The queue of keys: first in, first out. He et al. 2020 (MoCo), section 3.2."""

from __future__ import annotations

from collections import deque

import pytest
import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import local_rows
from ssl_pipelines.networks.queue import Queue


def numbered(step: int, rows: int) -> torch.Tensor:
    """Keys that say when and where they came from."""
    return torch.stack([torch.full((rows,), float(step)), torch.arange(rows).float()], 1)


def test_it_starts_as_random_unit_rows():
    torch.manual_seed(0)
    keys = Queue(512, 16).keys
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(512))
    assert keys.mean(0).abs().max() < 0.05  # 1 / (4 sqrt(512)) is the standard deviation of a mean: 0.011
    assert len(torch.unique(keys[:, 0])) == 512


@pytest.mark.parametrize("steps", [1, 3, 4, 9])
def test_after_s_steps_it_holds_what_a_deque_holds(steps):
    queue, rows = Queue(12, 2), 3
    told = deque((tuple(row) for row in queue.keys.tolist()), maxlen=12)
    for step in range(steps):
        queue.push(numbered(step, rows))
        told.extend(tuple(row) for row in numbered(step, rows).tolist())
    position = int(queue.position)
    assert position == steps * rows % 12
    oldest_first = queue.keys.roll(-position, 0).tolist()
    assert [tuple(row) for row in oldest_first] == list(told)


def test_a_batch_as_large_as_the_queue_replaces_it_whole():
    queue = Queue(4, 2)
    queue.push(numbered(0, 4))
    assert torch.equal(queue.keys, numbered(0, 4))


def test_a_batch_that_does_not_divide_it_is_refused():
    with pytest.raises(AssertionError):
        Queue(10, 2).push(numbered(0, 4))


def test_what_it_holds_belongs_to_the_checkpoint_and_takes_no_gradient():
    queue, keys = Queue(4, 2), numbered(1, 2).requires_grad_()
    queue.push(keys * 2)
    assert set(queue.state_dict()) == {"keys", "position"}
    assert not queue.keys.requires_grad
    assert not list(queue.parameters())


def pushed() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    queue = Queue(12, 2)
    for step in range(4):
        queue.push(numbered(step, 4)[local_rows(4)])
    return queue.state_dict()


def test_two_ranks_write_what_one_process_writes(tmp_path):
    alone = pushed()
    for found in on_ranks(pushed, tmp_path / "ranks"):
        assert torch.equal(found["keys"], alone["keys"])
        assert torch.equal(found["position"], alone["position"])
