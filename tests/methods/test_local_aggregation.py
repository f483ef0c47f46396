"""Local aggregation: InstDisc first, then neighborhoods of the bank. Zhuang et al. 2019."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from small_runs import on_ranks, small_config, small_loop, step_in_double
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock

EARLY, LATE = Clock(0, 100, 0), Clock(90, 100, 9)


def ready(store, **changes):
    changes = {"background_percent": 5.0} | changes
    loop = small_loop(small_config("local_aggregation", methods={"local_aggregation": changes}), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def clustered(method, seed: int = 0) -> None:
    random = torch.Generator().manual_seed(seed)
    method.bank.rows.copy_(F.normalize(torch.randn(method.bank.rows.shape, generator=random), dim=1))
    method.labels.copy_(torch.randint(6, method.labels.shape, generator=random))


def never(function=None):
    raise AssertionError("no embedding is due")


def test_the_warm_up_is_instance_discrimination_with_z_from_the_first_batch(digits):
    loop, batch = ready(digits, negatives=5)
    method = loop.method
    n, t = len(method.bank.rows), 0.07
    torch.manual_seed(4)
    output = method.loss(batch, EARLY)
    torch.manual_seed(4)
    drawn = method.bank.draw(16, 5)
    v, rows = method.project(batch.views["global"][0]).detach().double(), method.bank.rows.double()
    e = [[math.exp(float(v[b] @ rows[j]) / t) for j in [int(batch.ids[b]), *drawn[b].tolist()]] for b in range(16)]
    z = n * sum(sum(row) for row in e) / (16 * 6)
    total = 0.0
    for row in e:
        h = [value / z / (value / z + 5 / n) for value in row]
        total -= math.log(h[0]) + sum(math.log(1 - value) for value in h[1:])
    assert output.loss.item() == pytest.approx(total / 16, rel=1e-4)
    assert output.memory["log_z"].item() == pytest.approx(math.log(z), rel=1e-5)
    method.after_step([output], EARLY)
    second = method.loss(loop.feed.batches(1, 8)[0], EARLY)
    assert second.memory["log_z"].item() == output.memory["log_z"].item(), "constant ever after"


def test_after_it_close_neighbors_are_told_from_the_background(digits):
    loop, batch = ready(digits)
    method = loop.method
    clustered(method)
    v, bank, labels = method.project(batch.views["global"][0]).detach().double(), method.bank.rows.double(), method.labels
    k, total = round(0.05 * len(bank)), 0.0
    for b, own in enumerate(batch.ids.tolist()):
        density = (bank @ v[b] / 0.07).exp()
        background = set(density.argsort(descending=True)[:k].tolist())
        close = {j for row in labels for j in range(len(bank)) if row[j] == row[own]}
        share = sum(float(density[j]) for j in background & close) / sum(float(density[j]) for j in background)
        total -= math.log(share + 1e-7)
    assert method.num_neighbors == k
    assert method.loss(batch, LATE).loss.item() == pytest.approx(total / 16, rel=1e-4)


def test_the_bank_remembers_by_id_with_momentum(digits):
    loop, batch = ready(digits)
    clustered(loop.method)
    before = loop.method.bank.rows.clone()
    output = loop.method.loss(batch, LATE)
    loop.method.after_step([output], LATE)
    expected = F.normalize((before[batch.ids] + output.memory["z"]) / 2, dim=1)
    torch.testing.assert_close(loop.method.bank.rows[batch.ids], expected)
    changed = (loop.method.bank.rows != before).any(1).nonzero().flatten().tolist()
    assert changed == sorted(batch.ids.tolist())
    assert loop.method.log_z.isnan(), "the warm-up alone estimates it"


def test_after_the_warm_up_the_bank_is_written_anew_once_and_clustered_each_epoch(digits):
    loop, _ = ready(digits, num_clusterings=2, warmup_epochs=3)
    method, calls = loop.method, []
    for epoch in range(3):
        method.before_epoch(Clock(epoch, 10, epoch), never)
        assert not method.labels.any()
    method.before_epoch(Clock(3, 10, 3), lambda function: calls.append(function) or loop.embed(function))
    assert calls == [method.project]
    torch.testing.assert_close(method.bank.rows.norm(dim=1), torch.ones(len(method.bank.rows)))
    clusters = len(method.bank.rows) // 43
    assert all(len(set(row.tolist())) == clusters for row in method.labels)
    assert not torch.equal(method.labels[0], method.labels[1]), "another start each"
    first = method.labels.clone()
    method.before_epoch(Clock(4, 10, 4), never)
    assert not torch.equal(method.labels, first)


def test_a_run_has_both_phases(digits):
    loop, _ = ready(digits, min_epochs=8)
    results = [loop.run_step(step) for step in range(5)]
    assert ["close" in result.metrics for result in results] == [False] * 3 + [True] * 2


def test_clusters_larger_than_half_the_images_are_refused(digits):
    with pytest.raises(InputError, match=r"images_per_cluster=5000: allowed is 2 to \d+"):
        ready(digits, images_per_cluster=5000)
    with pytest.raises(InputError, match="negatives=7 are the warm-up's"):
        ready(digits, negatives=7, warmup_epochs=0)


def late_step(store) -> dict[str, torch.Tensor]:
    loop, batch = ready(store)
    clustered(loop.method)
    return step_in_double(loop.method, batch, LATE)


def test_two_ranks_equal_one_process_after_the_warm_up(digits, tmp_path):
    alone = late_step(digits)
    for ours in on_ranks(late_step, tmp_path / "ranks", digits):
        for key, value in alone.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}")
