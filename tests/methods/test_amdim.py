"""What is particular to AMDIM."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.amdim import amdim_loss
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.contrastive.amdim import one_place
from ssl_pipelines.methods.registry import resolved_backbone

CLOCK = Clock(0, 8, 0)


def ready(store):
    loop = small_loop(small_config("amdim"), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def test_three_tasks_in_both_directions(photos):
    method, batch = ready(photos)
    method.eval()
    torch.manual_seed(3)
    output = method.loss(batch, CLOCK)
    a, b = (method.features(view) for view in batch.views["global"])
    torch.manual_seed(3)  # the places come in the order of the tasks
    total = 0.0
    for source, target in (("top", "coarse"), ("top", "fine"), ("coarse", "coarse")):
        for x, y in ((a, b), (b, a)):
            total += amdim_loss(one_place(x[source]), y[target].flatten(2), 20, 0.04).item() / 2
    assert output.loss.item() == pytest.approx(total, rel=1e-5)
    assert sum(output.metrics.values()).item() == pytest.approx(total, rel=1e-5)


def test_scores_of_zero_give_the_closed_form(photos):
    method, batch = ready(photos)
    for norm in (method.embed["fine"].norm, method.embed["coarse"].norm):
        torch.nn.init.zeros_(norm.weight)
    expected = 2 * math.log(1 + 15 * 25) + math.log(1 + 15 * 49)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(expected, rel=1e-6)


def test_one_flip_for_both_views_and_colors_of_their_own(photos):
    method, batch = ready(photos)
    assert method.config.views.groups["global"].shared_flip
    box = batch.targets["global_box"]
    assert torch.equal(box[0, :, 4], box[1, :, 4])
    assert 0 < box[0, :, 4].mean() < 1
    assert not torch.equal(box[0, :, :4], box[1, :, :4])


def test_one_place_is_one_of_the_places_and_all_occur():
    features = torch.arange(9.0).view(1, 1, 3, 3).expand(400, 2, 3, 3)
    torch.manual_seed(0)
    found = one_place(features)
    assert found.shape == (400, 2)
    assert torch.equal(found[:, 0], found[:, 1])
    assert set(found[:, 0].tolist()) == set(range(9))


def test_what_cannot_work_is_refused(digits):
    with pytest.raises(InputError, match=r"needs an encoder without padding, backbone\.name='resnet18'"):
        resolved_backbone("amdim", {"name": "resnet18"})
    assert resolved_backbone("amdim", {"width": 0.5}).name == "unpadded_small"
    with pytest.raises(InputError, match="24 px or more, not 16"):
        small_method(small_config("amdim", methods={"amdim": {"views": {"size": 16}}}), Store.open(digits))
