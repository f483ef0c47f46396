"""DeepCluster: what is clustered, what is drawn, and a classifier that starts anew. Caron et al. 2018."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.clustering.deepcluster import edges

CLOCK = Clock(0, 8, 0)


def ready(store, **changes):
    loop = small_loop(small_config("deepcluster", **({"methods": {"deepcluster": changes}} if changes else {})), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def groups(n: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Group g has g + 1 shares of n rows, about an axis of its own."""
    truth = torch.repeat_interleave(torch.arange(k), torch.arange(1, k + 1) * (2 * n // (k * (k + 1)) + 1))[:n]
    random = torch.Generator().manual_seed(0)
    truth = truth[torch.randperm(n, generator=random)]
    return torch.nn.functional.one_hot(truth, k) * 5.0 + 0.01 * torch.randn(n, k, generator=random), truth


def test_planted_groups_become_labels_and_are_drawn_alike(digits):
    loop, _ = ready(digits, num_clusters=4, kmeans_iterations=50)
    rows, truth = groups(len(loop.feed.ids), 4)
    for seed in range(8):  # k-means may end in a worse optimum
        torch.manual_seed(seed)
        sampling = loop.method.before_epoch(CLOCK, lambda function: rows)
        labels = loop.method.labels
        found = {*zip(labels.tolist(), truth.tolist())}
        if len(found) == 4:
            break
    assert len(found) == 4
    share = np.bincount(truth.numpy(), weights=sampling.weights.numpy())
    np.testing.assert_allclose(share / share.sum(), 0.25, rtol=1e-9)
    assert loop.method.largest_cluster.item() == pytest.approx(np.bincount(truth).max() / len(truth))


def test_what_is_clustered_is_in_evaluation_mode_and_before_the_last_relu(digits):
    loop, batch = ready(digits)
    asked = []
    loop.method.before_epoch(CLOCK, lambda function: asked.append(function) or loop.embed(function))
    loop.method.eval()
    h = asked[0](batch.views["global"][0])
    assert torch.equal(h, asked[0](batch.views["global"][0])), "no dropout"
    assert (h < 0).any()
    assert h.shape == (16, 512)


def test_drawing_follows_the_clusters(digits):
    loop, _ = ready(digits)
    loop.run_step(0)
    labels, drawn = loop.method.labels.numpy(), np.concatenate([loop.feed.rows(step) for step in range(400)])
    share = np.bincount(labels[drawn], minlength=12) / len(drawn)
    present = np.bincount(labels, minlength=12) > 0
    np.testing.assert_allclose(share[present], 1 / present.sum(), atol=0.02)


def test_the_classifier_takes_one_plain_step_on_the_gradient_of_the_loss(digits):
    """Its own optimizer: no momentum, and at the weights that the loss saw."""
    loop, _ = ready(digits, dropout=0.0)
    loop.run_step(0)
    loop.run_step(1)
    method, rate = loop.method, 1.0 * 16 / 256
    loop.feed.sampling = loop.method.before_epoch(loop.clock(2), loop.embed)
    loop.feed.steps_per_epoch = 1000  # no clustering in between
    [batch] = loop.feed.batches(2, 8)
    method.train()
    h = torch.relu(method.features(batch.views["global"][0])).detach().double().numpy()
    weight, bias = (p.detach().double().numpy().copy() for p in (method.classifier.weight, method.classifier.bias))
    logits = h @ weight.T + bias
    slope = np.exp(logits - logits.max(1, keepdims=True))
    slope /= slope.sum(1, keepdims=True)
    slope[np.arange(16), method.labels[batch.ids].numpy()] -= 1
    loop.run_step(2)
    np.testing.assert_allclose(method.classifier.weight.detach(), weight - rate * (slope.T @ h / 16 + 1e-5 * weight), atol=1e-6)
    np.testing.assert_allclose(method.classifier.bias.detach(), bias - rate * slope.mean(0), atol=1e-6)
    assert not [state for state in loop.optimizers["classifier"][0].state.values() if state.get("momentum_buffer") is not None]
    assert loop.optimizers["main"][1].momentum == 0.9


def test_the_classifier_starts_anew_with_each_clustering(digits):
    loop, _ = ready(digits)
    for step in range(3):
        loop.run_step(step)
    loop.method.classifier.weight.data.fill_(7.0)
    loop._begin_epoch(loop.clock(3))
    assert loop.method.classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not loop.method.classifier.bias.any()


def test_edges_are_sobels_differences():
    images = np.random.default_rng(0).random((2, 3, 6, 7))
    grey, found = images.mean(1), edges(torch.tensor(images)).numpy()
    assert found.shape == (2, 2, 6, 7)
    for y in range(1, 5):
        for x in range(1, 6):
            p = grey[:, y - 1 : y + 2, x - 1 : x + 2]
            right = (p[:, 0, 2] + 2 * p[:, 1, 2] + p[:, 2, 2]) - (p[:, 0, 0] + 2 * p[:, 1, 0] + p[:, 2, 0])
            down = (p[:, 2, 0] + 2 * p[:, 2, 1] + p[:, 2, 2]) - (p[:, 0, 0] + 2 * p[:, 0, 1] + p[:, 0, 2])
            np.testing.assert_allclose(found[:, 0, y, x], right, atol=1e-12)
            np.testing.assert_allclose(found[:, 1, y, x], down, atol=1e-12)


def test_with_sobel_the_encoder_sees_edges_alone_also_when_it_is_evaluated(digits):
    loop, batch = ready(digits, sobel=True)
    images = batch.views["global"][0]
    assert loop.method.encoder.in_channels == 2
    loop.run_step(0)
    loop.method.eval()
    assert torch.equal(loop.method.encode(images), loop.method.encoder(edges(images)))


def test_more_clusters_than_images_are_refused(digits):
    with pytest.raises(InputError, match=r"num_clusters=1000: allowed is 2 to \d+"):
        ready(digits, num_clusters=1000)
    with pytest.raises(InputError, match="accumulate"):
        small_config("deepcluster", pretrain={"accumulate": 2})
