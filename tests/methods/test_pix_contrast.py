"""What is particular to PixContrast and PixPro."""

from __future__ import annotations

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.pixels import matching_places, pixel_agreement, pixel_contrast, propagated
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("pix_contrast", methods={"pix_contrast": block}), store)
    return loop, loop.feed.batches(0, 8)[0]


@pytest.mark.parametrize("form", ["contrast", "propagation"])
def test_both_directions_against_the_momentum_branch(photos, form):
    loop, batch = ready(photos, form=form)
    method = loop.method.eval()
    for parameter in method.key_projector.parameters():
        parameter.add_(0.1 * torch.rand_like(parameter))  # so that the branches differ
    x, boxes = batch.views["global"], batch.targets["global_box"]
    q = [method.projector(method.encoder.map(view)) for view in x]
    k = [method.key_projector(method.key_encoder.map(view)).flatten(2) for view in x]
    total = 0.0
    for a, b in ((0, 1), (1, 0)):
        match = matching_places(boxes[a], boxes[b], 4, 0.7)
        if form == "contrast":
            total += pixel_contrast(q[a].flatten(2), k[b], match, 0.3).item()
        else:
            smooth = propagated(q[a].flatten(2), method.transform(q[a]).flatten(2), 2.0)
            total += pixel_agreement(smooth, k[b], match).item()
    output = method.loss(batch, CLOCK)
    assert output.loss.item() == pytest.approx(total, rel=1e-5)
    output.loss.backward()
    assert all(parameter.grad is None for parameter in method.key_encoder.parameters())


def test_matching_places_show_the_same_pixels(photos):
    """Cut out of a ramp of coordinates, matching places hold nearly the same coordinates; others do not."""
    from ssl_pipelines.views import make_views

    loop, _ = ready(photos)
    plan = loop.method.config.views
    group = plan.groups["global"]
    plain = group.recipe.model_copy(update={"jitter": 0.0, "grayscale": 0.0})
    plan = plan.model_copy(update={"groups": {"global": group.model_copy(update={"recipe": plain})}})
    ramp = torch.arange(32, dtype=torch.uint8) * 8
    images = torch.stack([ramp.view(32, 1).expand(32, 32), ramp.view(1, 32).expand(32, 32), torch.zeros(32, 32)], 2).to(torch.uint8)
    batch = make_views(images.expand(16, -1, -1, -1), torch.arange(16), plan, 0, 0, slice(0, 16), 16)
    places = [torch.nn.functional.avg_pool2d(view * 255 / 8, 8).flatten(2)[:, :2] for view in batch.views["global"]]  # y, x in px
    boxes = batch.targets["global_box"]
    distance = torch.cdist(places[0].transpose(1, 2), places[1].transpose(1, 2))  # (B, T, T)
    match = matching_places(boxes[0], boxes[1], 4, 0.7)
    diagonal = boxes[:, :, 2:4].norm(dim=2).amax(0).view(-1, 1, 1) / 4
    assert match.any()
    assert (distance[match] < (0.7 * diagonal + 1).expand_as(distance)[match]).all()
    assert (distance[~match] > (0.7 * diagonal - 1).expand_as(distance)[~match]).all()


def test_the_instance_term_adds_pooled_features_of_all_images(photos):
    loop, batch = ready(photos, instance_weight=0.5)
    method = loop.method.eval()
    x = batch.views["global"]
    q = [method.instance_projector(method.encoder(view)) for view in x]
    k = [method.key_instance_projector(method.key_encoder(view)) for view in x]
    total = 0.0
    for a, b in ((0, 1), (1, 0)):
        cosine = torch.cosine_similarity(q[a].unsqueeze(1), k[b].unsqueeze(0), dim=2) / 0.2
        total += (cosine.logsumexp(1) - cosine.diagonal()).mean().item()
    plain, _ = ready(photos)
    plain.method.load_state_dict(method.state_dict(), strict=False)
    expected = plain.method.eval().loss(batch, CLOCK).loss.item() + 0.5 * total
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(expected, rel=1e-5)
    assert len(method.followers()) == 3
    loop.run_step(0)


def test_keys_follow_by_momentum(photos):
    loop, _ = ready(photos, momentum=0.9)
    method = loop.method
    before = [p.clone() for p in method.key_projector.parameters()]
    loop.run_step(0)
    for old, new, own in zip(before, method.key_projector.parameters(), method.projector.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * own.detach())


def test_the_share_of_overlapping_pairs_is_logged(photos):
    loop, batch = ready(photos)
    metrics = loop.method.loss(batch, CLOCK).metrics
    assert 0 < metrics["overlapping"] <= 1
    assert metrics["positives"] > 0


@pytest.mark.parametrize(("stride", "side"), [(None, 2), (16, 2), (8, 4), (4, 8), (1, 32)])
def test_output_stride_keeps_the_resolution_of_later_stages(stride, side):
    encoder = build_encoder(BackboneConfig(name="resnet_small", width=0.25, output_stride=stride), 3, 32)
    assert encoder.map_side(32) == side
    assert encoder.training


def test_a_map_that_is_too_coarse_is_refused(photos):
    config = small_config("pix_contrast", backbone={"name": "resnet_small", "width": 0.25, "output_stride": 16})
    with pytest.raises(InputError, match="needs a map of 4x4 or more, views of 32 px leave 2x2"):
        small_method(config, Store.open(photos))
    for block in ({"sharpness": 1.0}, {"form": "propagation", "temperature": 0.2}):
        with pytest.raises(InputError, match="would be ignored"):
            small_config("pix_contrast", methods={"pix_contrast": block})
    with pytest.raises(InputError, match="output_stride"):
        small_config("pix_contrast", backbone={"name": "resnet18", "output_stride": 3})
