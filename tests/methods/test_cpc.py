"""What is particular to CPC and CPC v2."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.contrastive.cpc import inner_crop
from ssl_pipelines.methods.registry import method_config, resolved_backbone
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
BOTH = pytest.mark.parametrize("name", ["cpc", "cpc_v2"])


def ready(name, store, **block):
    loop = small_loop(small_config(name, methods={name: block}), store)
    return loop.method, loop.feed.batches(0, 8)[0]


@BOTH
def test_no_batch_norm_anywhere(name, digits):
    method, _ = ready(name, digits)
    assert not [module for module in method.modules() if isinstance(module, BatchNorm | torch.nn.BatchNorm2d)]


def test_at_uniform_scores_cpc_costs_the_logarithm_of_all_patches(digits):
    method, batch = ready("cpc", digits)
    for predictor in method.predictors:
        torch.nn.init.zeros_(predictor.weight)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(math.log(16 * 25), rel=1e-6)


def test_cpc_equals_its_equation_in_loops(digits):
    """f_k = exp(z^T W_k c) over all patches of the batch, for rows 2 and 3 below; the crop within patches switched off."""
    method, batch = ready("cpc", digits, grid=4, steps=2, patch_crop=1)
    method.double()
    images = batch.views["global"][:, :3].double()
    for predictor in method.predictors:
        torch.nn.init.normal_(predictor.weight, std=0.1)
    with torch.no_grad():
        z = method.encoder.map(images[0])
        c = method.context(z)
    everything = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    per_step = []
    for k, predictor in ((2, method.predictors[0]), (3, method.predictors[1])):
        w = predictor.weight[:, :, 0, 0].detach()
        terms = []
        for b in range(3):
            for row in range(4 - k):
                for column in range(4):
                    scores = everything @ (w @ c[b, :, row, column])
                    positive = z[b, :, row + k, column] @ w @ c[b, :, row, column]
                    terms.append(scores.logsumexp(0) - positive)
        per_step.append(torch.stack(terms).mean())
    found = method.loss(Batch({"global": images}, {}, batch.ids[:3]), CLOCK).loss.item()
    assert found == pytest.approx(torch.stack(per_step).mean().item(), rel=1e-10)


def test_predictions_of_a_row_never_see_it_nor_its_overlapping_neighbor(photos):
    """d prediction(row r + k) / d pixels of rows from r + 2 on = 0: pixels that only the rows below r hold."""
    method, batch = ready("cpc", photos)
    images = batch.views["global"][0, :2].mean(1, keepdim=True).requires_grad_()
    c = method.context(method.encoder.map(images))
    for row in range(3):
        gradient = torch.autograd.grad(c[:, :, row].square().sum(), images, retain_graph=True)[0]
        below = 1 + 5 * (row + 2)  # where the patches of row + 2, the first that is predicted, begin
        assert (gradient[:, :, below:] == 0).all()
        assert (gradient[:, :, :below] != 0).any()


def test_cpc_is_gray_and_blind_to_color(photos):
    method, batch = ready("cpc", photos)
    images = batch.views["global"][0]
    luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(method.encode(images), method.encode(luma))
    assert method.encoder.in_channels == 1


def test_inner_crop_moves_within_the_patch_and_zeros_the_frame():
    patches = torch.arange(1.0, 2 * 64 + 1).view(2, 1, 8, 8)
    noise = torch.tensor([[0.0, 0.99], [0.5, 0.5]])
    found = inner_crop(patches, 6, noise)
    assert found.shape == patches.shape
    assert torch.equal(found[0, :, 1:7, 1:7], patches[0, :, 0:6, 2:8])
    assert torch.equal(found[1, :, 1:7, 1:7], patches[1, :, 1:7, 1:7])
    assert found[:, :, 0].abs().sum() + found[:, :, :, -1].abs().sum() == 0
    assert torch.equal(inner_crop(patches, 8, noise), patches)


def test_turning_the_grid_permutes_the_four_directions_of_tied_predictors(digits):
    method, _ = ready("cpc_v2", digits, shared_directions=True)
    z = torch.randn(3, method.encoder.dim, 5, 5)
    with torch.no_grad():
        straight = torch.stack([loss for loss, _ in method.four_sides(z, method.to_target(z))]).view(4, -1)
        z = torch.rot90(z, 1, (2, 3))
        turned = torch.stack([loss for loss, _ in method.four_sides(z, method.to_target(z))]).view(4, -1)
    torch.testing.assert_close(turned, straight.roll(-1, 0))
    assert len({round(value, 5) for value in straight[:, 0].tolist()}) == 4


def test_four_directions_have_their_own_networks_and_all_are_used(digits):
    method, batch = ready("cpc_v2", digits)
    assert len(method.directions) == 4
    method.loss(batch, CLOCK).loss.backward()
    for direction in method.directions:
        assert all(predictor.weight.grad.abs().sum() > 0 for predictor in direction.predictors)


def test_patches_are_augmented_one_by_one(photos):
    """Patches of one gray image end up different in color from each other, and another patch's pixels change nothing."""
    method, _ = ready("cpc_v2", photos, color_drop=1.0)
    patches = torch.full((2, 5, 5, 3, 10, 10), 0.4)
    torch.manual_seed(0)
    found = method.augmented(patches)
    mean = method.encoder.trunk.mean.view(3)
    center = found[..., 5, 5].view(-1, 3)
    dropped = (center - mean).abs() < 1e-6
    assert (dropped.sum(1) >= 2).all(), "two of three channels say nothing"
    assert {tuple(row) for row in dropped.tolist()} >= {(True, True, False), (True, False, True), (False, True, True)}
    other = patches.clone()
    other[0, 0, 0] = torch.rand(3, 10, 10)
    torch.manual_seed(0)
    changed = (method.augmented(other) != found).flatten(3).any(3)
    assert changed.sum() == 1
    assert changed[0, 0, 0]


def test_patches_of_other_images_are_not_needed_to_encode_one(photos):
    method, batch = ready("cpc_v2", photos)
    images = batch.views["global"][0]
    method.train()
    torch.testing.assert_close(method.encode(images[:1]), method.encode(images)[:1], rtol=1e-4, atol=1e-5)


@BOTH
def test_what_cannot_work_is_refused(name):
    with pytest.raises(InputError, match="steps=4 with grid=5"):
        method_config(name, {"steps": 4})
    config = method_config(name, {})
    for backbone, message in (
        ({"name": "vit_mini"}, "needs a ResNet"),
        ({"name": "mobilenetv3_small_050"}, "needs a ResNet"),
        ({"norm": "batch"}, "backbone.norm='batch'"),
        ({"stem": "imagenet"}, "backbone.stem='imagenet'"),
    ):
        with pytest.raises(InputError, match=message):
            config.check_run(64, resolved_backbone(name, backbone))
    config.check_run(64, resolved_backbone(name, {"name": "resnet18"}))
    with pytest.raises(InputError, match=r"backbone\.norm='none' is read by"):
        resolved_backbone("simclr", {"name": "vit_mini", "norm": "none"})
