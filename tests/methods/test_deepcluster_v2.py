"""DeepCluster-v2: centroids as the classifier, and a bank of what the views looked like in the last epoch. Caron et al. 2020."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from small_runs import on_ranks, small_config, small_loop, step_in_double
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.clustering.deepcluster_v2 import MISSING, assigned_cross_entropy

CLOCK, LATER = Clock(0, 8, 0), Clock(4, 8, 1)


def ready(store, **changes):
    loop = small_loop(small_config("deepcluster_v2", **({"methods": {"deepcluster_v2": changes}} if changes else {})), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def never(function=None):
    raise AssertionError("the bank is there")


def random_rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def test_the_loss_equals_the_loops_and_leaves_missing_images_out():
    z, centroids = random_rows(4, 5, 3), random_rows(2, 6, 3, seed=1)
    labels = torch.tensor([[0, MISSING, 5, 2, MISSING], [1, MISSING, 4, 4, MISSING]])
    costs = []
    for h in range(2):
        for v in range(4):
            for b in (0, 2, 3):
                e = [math.exp(float(z[v, b] @ centroids[h, k]) / 0.2) for k in range(6)]
                costs.append(-math.log(e[int(labels[h, b])] / sum(e)))
    assert assigned_cross_entropy(z, centroids, labels, 0.2).item() == pytest.approx(np.mean(costs), rel=1e-12)


def test_where_all_images_are_missing_nothing_is_learned():
    z = random_rows(2, 3, 4).requires_grad_()
    loss = assigned_cross_entropy(z, random_rows(1, 5, 4), torch.full((1, 3), MISSING), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_as_many_clusters_as_images_tell_images_apart(digits):
    n = len(small_loop(small_config("simclr"), digits).feed.ids)
    loop, _ = ready(digits, num_prototypes=n, num_sets=1)
    loop.method.before_epoch(CLOCK, lambda function: random_rows(n, 128).float())
    assert sorted(loop.method.labels[0].tolist()) == list(range(n))


def test_the_first_clustering_looks_at_all_images_and_the_next_at_the_bank(digits):
    loop, _ = ready(digits)
    method, n = loop.method, len(loop.feed.ids)
    loop._begin_epoch(loop.clock(0))
    assert (method.labels != MISSING).all()
    torch.testing.assert_close(method.centroids.norm(dim=2), torch.ones(3, 12))
    rows = random_rows(2, n, 128, seed=3).float()
    method.bank.copy_(rows)
    method.before_epoch(LATER, never)
    for h in range(3):  # sets take turns at the crops
        cosines = rows[h % 2].double().numpy() @ method.centroids[h].double().numpy().T
        assert method.labels[h].tolist() == cosines.argmax(1).tolist()
    assert not torch.equal(method.labels[0], method.labels[2]), "of one crop, from another start"


def test_the_bank_keeps_the_embeddings_of_the_training_views(digits):
    loop, batch = ready(digits)
    loop._begin_epoch(loop.clock(0))
    loop.method.train()
    output = loop.method.loss(batch, CLOCK)
    before = loop.method.bank.clone()
    loop.method.after_step([output], CLOCK)
    for k in range(2):
        expected = loop.method.project(batch.views["global"][k])
        torch.testing.assert_close(loop.method.bank[k, batch.ids], expected.detach())
    others = torch.ones(before.shape[1], dtype=torch.bool)
    others[batch.ids] = False
    assert torch.equal(loop.method.bank[:, others], before[:, others])
    assert output.metrics["missing"] == 0


def test_images_that_were_not_drawn_for_an_epoch_are_ignored(digits):
    loop, batch = ready(digits)
    method, n = loop.method, len(loop.feed.ids)
    loop._begin_epoch(loop.clock(0))
    method.drawn += n  # an epoch has gone by
    method.after_step([method.loss(batch, CLOCK)], CLOCK)  # these alone were drawn since
    method.before_epoch(LATER, never)
    kept = (method.labels[0] != MISSING).nonzero().flatten().tolist()
    assert kept == sorted(batch.ids.tolist())
    other = loop.feed.batches(1, 8)[0]
    assert method.loss(other, LATER).metrics["missing"] == 1


def test_more_prototypes_than_images_are_refused(digits):
    with pytest.raises(InputError, match=r"num_prototypes=5000: allowed is 2 to \d+"):
        ready(digits, num_prototypes=5000)


def labeled_step(store) -> dict[str, torch.Tensor]:
    loop, batch = ready(store)
    random = torch.Generator().manual_seed(5)
    labels = torch.randint(-1, 12, loop.method.labels.shape, generator=random)  # some missing, not equally many on both ranks
    loop.method.labels.copy_(labels)
    return step_in_double(loop.method, batch, LATER)


def test_two_ranks_equal_one_process_where_images_are_missing(digits, tmp_path):
    alone = labeled_step(digits)
    assert alone["loss"] > 1
    for ours in on_ranks(labeled_step, tmp_path / "ranks", digits):
        for key, value in alone.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}")
