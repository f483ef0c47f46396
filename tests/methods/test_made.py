"""MADE as a density, its mixture of mask sets, and what a step trains."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config
from tests.methods.likelihood_models import all_images, misfit, tiny

FORMS = pytest.mark.parametrize(
    "form",
    [
        {},
        {"direct": True},
        {"order_agnostic": False},
        {"connectivity_agnostic": False},
        {"num_masks": 1, "feature_masks": 1, "order_agnostic": False, "connectivity_agnostic": False},
    ],
)


def model(size=3, channels=1, **form):
    return tiny("made", size, channels, **{"units": 20, "num_masks": 3, "feature_masks": 1} | form)


@FORMS
def test_all_images_together_have_probability_one_by_each_mask_set_and_by_all(form):
    method = model(**form)
    every = all_images(3, 1, 2)
    with torch.no_grad():
        for k in range(method.config.num_masks):
            p = method.log_prob(method.quantized(every), k).exp()
            assert p.sum().item() == pytest.approx(1, abs=1e-9)
            assert p.max() > 2 * p.min()
        assert method.log_likelihood(every).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_colors_and_more_levels_too():
    method = model(size=2, channels=3, levels=2)
    assert method.log_likelihood(all_images(2, 3, 2)).exp().sum().item() == pytest.approx(1, abs=1e-9)
    method = model(size=2, channels=1, levels=5)
    assert method.log_likelihood(all_images(2, 1, 5)).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_finished_model_averages_probabilities_not_logits():
    """log (1/K) sum_k p_k(x), by loops in NumPy over the masked matrices; binary cross entropy, summed over inputs."""
    method = model()
    net, x = method.encoder, np.random.default_rng(0).integers(0, 2, 9)
    weights = [layer.weight.detach().numpy() for layer in (*net.hidden_layers, net.last)]
    biases = [layer.bias.detach().numpy() for layer in (*net.hidden_layers, net.last)]
    probabilities = []
    for k in range(3):
        order, known = net.orders[k].numpy(), net.known[k].numpy()
        hidden, places = 2.0 * x - 1, order
        for n in range(2):
            mask = np.array([[known[n][unit] >= places[given] for given in range(len(places))] for unit in range(20)])
            hidden, places = np.maximum((weights[n] * mask) @ hidden + biases[n], 0), known[n]
        mask = np.array([[order[d] > places[unit] for unit in range(20)] for d in range(9)])
        p = 1 / (1 + np.exp(-((weights[2] * mask) @ hidden + biases[2])))
        cross_entropy = -sum(x[d] * np.log(p[d]) + (1 - x[d]) * np.log(1 - p[d]) for d in range(9))
        probabilities.append(np.exp(-cross_entropy))
    found = method.log_likelihood(torch.tensor(x).double().view(1, 1, 3, 3))
    assert found.item() == pytest.approx(np.log(np.mean(probabilities)), rel=1e-10)


def test_steps_go_through_the_mask_sets_in_turn(digits):
    loop = small_loop(small_config("made", methods={"made": {"num_masks": 3, "feature_masks": 1}}), digits)
    method, batch = loop.method, loop.feed.batches(0, 8)[0]
    x = method.quantized(batch.views["global"][0])
    for step in range(7):
        found = method.loss(batch, Clock(step, 8, 0)).loss
        wanted = -method.log_prob(x, step % 3).mean() / 256
        assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert len({round(method.loss(batch, Clock(step, 8, 0)).loss.item(), 6) for step in range(3)}) == 3


def test_draws_follow_the_likelihood():
    method = model(size=2, num_masks=2)
    every = all_images(2, 1, 2)
    torch.manual_seed(0)
    drawn = [((method.sample(1500) + 1) / 2).long() for _ in range(6)]
    with torch.no_grad():
        each = [method.log_prob(method.quantized(every), k).exp() for k in range(2)]
    rows = method.encoder.flat(every).add(1).div(2).long()
    fits = [[misfit(part, rows, p) < 4 for p in each] for part in drawn]  # a call's samples share a mask set
    assert all(sum(fit) == 1 for fit in fits)
    assert len({fit.index(True) for fit in fits}) == 2


def test_binary_digits_cost_one_bit_at_first_and_less_when_trained(digits):
    loop = small_loop(small_config("made", methods={"made": {"units": 128}}, pretrain={"images_seen": 16 * 60}), digits)
    batch = loop.feed.batches(0, 8)[0]
    first = loop.method.loss(batch, Clock(0, 8, 0)).metrics["bits_per_dim"].item()
    assert first == pytest.approx(1, abs=0.05)
    for step in range(60):
        loop.run_step(step)
    images = loop.feed.batches(0, 8)[0].views["global"][0]
    bits = -loop.method.log_likelihood(images).mean().item() / 256 / math.log(2)
    assert bits < 0.8


def test_pictures(photos):
    loop = small_loop(small_config("made"), photos)
    made = loop.method.pictures(loop.feed.batches(0, 8)[0])
    assert made["samples"].shape == (8, 3, 16, 16)
    assert set(made["samples"].unique().tolist()) <= {0.0, 1.0}
    assert made["levels"].shape == (16, 3, 16, 16)
    shown, original = made["levels"].unflatten(0, (8, 2)).unbind(1)
    assert torch.equal(shown, ((original * 255).round() >= 128).float())


def test_samples_have_their_pixels_in_their_places():
    """With huge biases every draw is one known image, whatever the order."""
    method = model(size=2, channels=3)
    wanted = torch.tensor([0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1]).view(1, 3, 2, 2)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
        method.encoder.last.bias.copy_(100 * method.encoder.flat(wanted.double()).flatten())
    drawn = method.sample(2).unflatten(1, (2, 2, 3)).movedim(3, 1)
    assert torch.equal((drawn + 1) / 2, wanted.double().expand(2, -1, -1, -1))


def test_what_cannot_work_is_refused():
    for block, message in (
        ({"order_agnostic": False, "connectivity_agnostic": False}, "num_masks=32 would be equal"),
        ({"num_masks": 4}, "feature_masks=8 is more than num_masks=4"),
        ({"levels": 300}, "levels"),
        ({"units": 2}, "units"),
    ):
        with pytest.raises(InputError, match=message):
            method_config("made", block)
