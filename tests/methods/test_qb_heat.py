"""What is particular to QB-Heat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config, resolved_backbone
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
ENCODERS = pytest.mark.parametrize(
    "backbone",
    [{}, {"name": "vit_mini", "depth": 2, "width": 1.0}, {"name": "mobilenetv2_050", "width": 1.0}],
    ids=["resnet", "vit", "timm"],
)


def ready(store, backbone=None, **block):
    changes = {"methods": {"qb_heat": block}, "backbone": backbone or {}}
    loop = small_loop(small_config("qb_heat", **changes), store)
    return loop.method.eval(), loop.feed.batches(0, 8)[0]


def by_hand(method, images, corners):
    """The loss in loops over images, channels and pixels, from the decoder's output."""
    painted = method.decoder(method.extension(method.encode_block(images, corners), corners)).detach().numpy()
    target = method.encoder.normalize(images).numpy()
    half, errors = images.shape[2] // 2, []
    for b, (top, left) in enumerate((corners * method.stride).tolist()):
        for y in range(2 * half):
            for x in range(2 * half):
                if not (top <= y < top + half and left <= x < left + half):
                    errors.append(np.mean((painted[b, :, y, x] - target[b, :, y, x]) ** 2))
    assert len(errors) == len(images) * 3 * half * half, "three quarters are predicted"
    return np.mean(errors)


@ENCODERS
def test_loss_is_the_squared_error_of_the_three_hidden_quarters(digits, backbone):
    method, batch = ready(digits, backbone)
    method.double()
    torch.nn.init.normal_(method.extension.across, std=0.05)
    torch.nn.init.normal_(method.extension.down, std=0.05)
    images = batch.views["global"].double()
    torch.manual_seed(5)
    loss = method.loss(Batch({"global": images}, {}, batch.ids), CLOCK).loss.item()
    torch.manual_seed(5)
    assert loss == pytest.approx(by_hand(method, images[0], method.draw_corners(images[0])), rel=1e-9)


@ENCODERS
def test_only_the_block_is_encoded(digits, backbone):
    """The extended map depends on no pixel outside the block, and on pixels in every part of it."""
    method, batch = ready(digits, backbone, block="any")
    images = batch.views["global"][0].clone().requires_grad_()
    corners = method.draw_corners(images)
    whole = method.extension(method.encode_block(images, corners), corners)
    whole.square().sum().backward()
    hidden = method.hidden_pixels(corners).unsqueeze(1).expand_as(images) == 1
    assert hidden.float().mean() == 0.75
    assert (images.grad[hidden] == 0).all()
    assert (images.grad[~hidden] != 0).float().mean() > 0.9


def test_a_convolutional_encoder_gets_the_quarter_alone(digits):
    """What is fed is half as high and wide: nothing tells where the rest of the image was, not even padding."""
    method, batch = ready(digits)
    seen = []
    method.encoder.stem.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    images = batch.views["global"][0]
    corners = torch.tensor([[1, 2]]).expand(len(images), 2)
    method.encode_block(images, corners)
    assert method.stride == 4
    assert method.side == 2
    [crop] = seen
    torch.testing.assert_close(crop, method.encoder.normalize(images[:, :, 4:12, 8:16]))


def test_a_transformer_reads_the_block_at_its_place(digits):
    method, batch = ready(digits, {"name": "vit_mini", "depth": 2, "width": 1.0})
    images = batch.views["global"][0]
    corners = torch.tensor([[2, 1]]).expand(len(images), 2)
    tokens = method.encoder.embed(images).unflatten(1, (4, 4))[:, 2:4, 1:3].flatten(1, 2)
    wanted = method.encoder.encode_tokens(tokens)[-1][:, 1:].unflatten(1, (2, 2)).permute(0, 3, 1, 2)
    torch.testing.assert_close(method.encode_block(images, corners), wanted)


def test_blocks_are_drawn_among_the_corners_and_the_center(digits):
    method, _ = ready(digits)
    torch.manual_seed(0)
    drawn = method.draw_corners(torch.zeros(500, 1, 16, 16)).tolist()
    counts = {tuple(corner): drawn.count(corner) for corner in drawn}
    assert set(counts) == {(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)}
    assert min(counts.values()) > 60


def test_visible_pixels_count_where_they_are_asked_to(digits):
    for loss_on, moves in (("hidden", False), ("all", True)):
        method, batch = ready(digits, loss_on=loss_on)
        painted = []
        method.decoder.register_forward_hook(lambda module, inputs, output, kept=painted: kept.append(output))
        torch.manual_seed(1)
        output = method.loss(batch, CLOCK)
        torch.manual_seed(1)
        hidden = method.hidden_pixels(method.draw_corners(batch.views["global"][0])).unsqueeze(1) == 1
        gradient = torch.autograd.grad(output.loss, painted[0])[0]
        assert (gradient[hidden] != 0).any()
        assert (gradient[~hidden] != 0).any() == moves


def test_growth_shows_a_power_that_explodes(digits):
    method, batch = ready(digits)
    assert method.loss(batch, CLOCK).metrics["growth"].item() == pytest.approx(1)
    with torch.no_grad():
        method.extension.across.copy_(torch.eye(len(method.extension.across)))  # doubles with each of two steps
    method.config = method.config.model_copy(update={"block": "corners"})
    one = Batch({"global": batch.views["global"]}, {}, batch.ids)
    torch.manual_seed(0)
    corners = method.draw_corners(batch.views["global"][0])
    scales = torch.where(corners[:, 1] == 0, 4.0, 0.0)  # to the left it is (I - A)^2 = 0
    block = method.encode_block(batch.views["global"][0], corners).square().sum((1, 2, 3))
    wanted = ((block * (2 + 2 * scales**2)).sum() / 4 / block.sum()).sqrt()
    torch.manual_seed(0)
    assert method.loss(one, CLOCK).metrics["growth"].item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("steps", ["unit", "long"])
def test_the_way_is_taken_in_the_steps_that_are_asked_for(digits, steps):
    method, _ = ready(digits, steps=steps)
    a = 0.1 * torch.randn(method.extension.across.shape)
    with torch.no_grad():
        method.extension.across.copy_(a)
    z = torch.randn(1, len(a), 2, 2)
    whole = method.extension(z, torch.zeros(1, 2, dtype=torch.int64))
    identity = torch.eye(len(a))
    carried = (identity + a) @ (identity + a) if steps == "unit" else identity + 2 * a
    torch.testing.assert_close(whole[0, :, 0, 2], carried @ z[0, :, 0, 0])


def test_pictures_are_triples_with_the_block_put_back(digits):
    method, batch = ready(digits)
    with torch.no_grad():
        found = method.pictures(batch)
    images = batch.views["global"][0][:8]
    seen, painted, original = found["reconstructions"].unflatten(0, (8, 3)).unbind(1)
    assert torch.equal(original, images)
    assert ((seen == original).flatten(1).float().mean(1) >= 0.25).all()
    assert ((painted == original).flatten(1).float().mean(1) >= 0.25).all()
    block, carried, true = found["feature_maps"].unflatten(0, (8, 3)).unbind(1)
    assert block.shape == carried.shape == true.shape == (8, 3, 16, 16)
    same = (carried - true).abs().amax(1) < 1e-5  # the block itself, where the encoder has no chance
    assert (same.flatten(1).float().mean(1) >= 0.2).float().mean() >= 0.5
    for picture in found.values():
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_what_cannot_work_is_refused(digits):
    config = method_config("qb_heat", {})
    for backbone, message in (
        ({"name": "unpadded_small"}, "backbone.name='unpadded_small' takes one size alone"),
        ({"name": "vit_mini", "positions": "relative"}, "backbone.positions='relative' needs all"),
    ):
        with pytest.raises(InputError, match=message):
            config.check_run(64, resolved_backbone("qb_heat", backbone))
    store = Store.open(digits)
    for backbone, block, message in (
        ({"name": "vit_mini", "width": 1.0}, {"views": {"size": 20}}, "patch_size=4 does not divide the view size 10"),
        ({}, {"views": {"size": 20}}, r"views\.size=20: a block of half the side has a map of 3x3"),
        ({"name": "vit_tiny_patch16_224", "width": 1.0}, {"views": {"size": 32}}, "takes views of 32 px alone"),
        ({"name": "mobilenetv3_small_050", "width": 1.0}, {"views": {"size": 32}}, "widens it to 1024 behind it"),
    ):
        with pytest.raises(InputError, match=message):
            small_method(small_config("qb_heat", backbone=backbone, methods={"qb_heat": block}), store)
    with pytest.raises(InputError, match=r"block='middle'"):
        method_config("qb_heat", {"block": "middle"})
