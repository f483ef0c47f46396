"""SwAV: codes of one crop, predicted by all others; the queue; frozen prototypes. Caron et al. 2020."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import on_ranks, small_config, small_loop, step_in_double
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock

EARLY, LATE = Clock(0, 100, 0), Clock(90, 100, 18)


def ready(store, **changes):
    loop = small_loop(small_config("swav", **({"methods": {"swav": changes}} if changes else {})), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def scaled(scores: np.ndarray, epsilon: float, rounds: int) -> np.ndarray:
    q = np.exp(scores / epsilon)
    for _ in range(rounds):
        q = q / q.sum(0) / q.shape[1]
        q = q / q.sum(1)[:, None] / q.shape[0]
    return q * q.shape[0]


def expected_loss(method, batch, queue: bool) -> float:
    """From what the networks say of every crop, by loops."""
    crops = [*batch.views["global"], *batch.views["local"]]
    z = [unit(method.projector(method.encoder(x)).detach().double().numpy()) for x in crops]
    prototypes = method.prototypes.weight.detach().double().numpy()
    total = 0.0
    for a in range(2):
        rows = np.concatenate([z[a], method.queues[a].keys.double().numpy()]) if queue else z[a]
        q = scaled(rows @ prototypes.T, 0.03, 3)[: len(z[a])]
        for v in range(len(z)):
            if v != a:
                logits = z[v] @ prototypes.T / 0.1
                log_p = logits - np.log(np.exp(logits).sum(1))[:, None]
                total -= (q * log_p).sum(1).mean() / (len(z) - 1) / 2
    return total


@pytest.mark.parametrize("clock", [EARLY, LATE])
def test_the_loss_is_what_the_paper_says_with_the_queue_and_without(digits, clock):
    loop, batch = ready(digits)
    expected = expected_loss(loop.method, batch, queue=clock is LATE)
    assert loop.method.loss(batch, clock).loss.item() == pytest.approx(expected, rel=1e-5)
    assert expected_loss(loop.method, batch, queue=True) != pytest.approx(expected_loss(loop.method, batch, queue=False), rel=1e-4)


def test_the_queue_waits_until_it_is_full_and_its_epoch_has_come(digits):
    loop, batch = ready(digits)  # 32 rows, 16 a step, from epoch 3 on
    expected = expected_loss(loop.method, batch, queue=False)
    for clock in (Clock(1, 100, 9), Clock(50, 100, 2)):
        assert loop.method.loss(batch, clock).loss.item() == pytest.approx(expected, rel=1e-5)
    assert loop.method.loss(batch, Clock(2, 100, 3)).loss.item() == pytest.approx(
        expected_loss(loop.method, batch, queue=True), rel=1e-5
    )


def test_each_large_crop_has_a_queue_oldest_out_first(digits):
    loop, batch = ready(digits)
    first = loop.method.queues[0].keys.clone()
    outputs = [loop.method.loss(batch, EARLY)]
    loop.method.after_step(outputs, EARLY)
    for k in range(2):
        assert torch.equal(loop.method.queues[k].keys[:16], outputs[0].memory["z"][k])
    assert torch.equal(loop.method.queues[0].keys[16:], first[16:])


def test_prototypes_stand_still_at_first_then_move_on_the_sphere(digits):
    loop, _ = ready(digits)  # 8 steps: an epoch each
    before = loop.method.prototypes.weight.detach().clone()
    loop.run_step(0)
    torch.testing.assert_close(loop.method.prototypes.weight.detach(), before, rtol=1e-6, atol=1e-7)
    loop.run_step(1)
    after = loop.method.prototypes.weight.detach()
    assert (after - before).abs().max() > 1e-5
    torch.testing.assert_close(after.norm(dim=1), torch.ones(len(after)))


def test_small_crops_may_be_left_out(digits):
    loop, batch = ready(digits, views={"groups": {"local": {"count": 0}}}, queue_size=0)
    assert list(batch.views) == ["global"]
    assert loop.run_step(0).loss.isfinite()
    with pytest.raises(InputError, match=r"global\.count=1 is refused"):
        small_config("swav", methods={"swav": {"views": {"groups": {"global": {"count": 1}}}}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"queue_size": 40}, r"queue_size=40 is to be 0 or a multiple of pretrain\.batch_size=16"),
        ({"sinkhorn_epsilon": 0.001}, "sinkhorn_epsilon"),
        ({"queue_size": 0, "queue_from_epoch": 5}, "queue_from_epoch=5 would be ignored"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("swav", methods={"swav": changes})


def test_more_prototypes_than_images_are_refused(digits):
    with pytest.raises(InputError, match=r"num_prototypes=5000: allowed is 2 to \d+"):
        ready(digits, num_prototypes=5000)


def late_step(store) -> dict[str, torch.Tensor]:
    loop, batch = ready(store)
    return step_in_double(loop.method, batch, LATE)


def test_two_ranks_share_the_queue_and_equal_one_process(digits, tmp_path):
    alone = late_step(digits)
    for ours in on_ranks(late_step, tmp_path / "ranks", digits):
        for key, value in alone.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}")
