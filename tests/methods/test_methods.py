"""What is particular to a method."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.rotation import four_rotations
from ssl_pipelines.methods.registry import method_class, resolved_backbone, resolved_optimizer
from ssl_pipelines.views import Batch
from ssl_pipelines.views.masks import random_masking

CLOCK = Clock(0, 8, 0)


def ready(name, store, **changes):
    loop = small_loop(small_config(name, **changes), store)
    return loop.method, loop.feed.batches(0, 8)[0]


def test_four_rotations_are_exact_and_compose_to_the_identity():
    images = torch.arange(2 * 1 * 4 * 4.0).view(2, 1, 4, 4)
    turned = four_rotations(images).unflatten(0, (4, 2))
    assert torch.equal(turned[0], images)
    assert turned[1, 0, 0, 3, 0] == images[0, 0, 0, 0]  # the top left corner goes to the bottom left
    once = images
    for k in range(1, 5):
        once = four_rotations(once).unflatten(0, (4, 2))[1]
        assert torch.equal(once, turned[k % 4])


def test_rotation_at_uniform_logits_is_log_four(digits):
    method, batch = ready("rotation", digits)
    torch.nn.init.zeros_(method.classifier.weight)
    torch.nn.init.zeros_(method.classifier.bias)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(math.log(4), rel=1e-6)


def test_rotation_is_solved_by_a_network_that_sees_the_corner(digits):
    """A planted mark in one corner, and an encoder that reads the four corners: accuracy 1."""
    method, batch = ready("rotation", digits)
    images = torch.zeros_like(batch.views["global"])
    images[..., 0, 0] = 1

    class Corners(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0, 0, 0], x[:, 0, -1, 0], x[:, 0, -1, -1], x[:, 0, 0, -1]], dim=1)

    method.encoder = Corners()
    method.classifier = torch.nn.Identity()
    output = method.loss(Batch({"global": images}, {}, batch.ids), CLOCK)
    assert output.metrics["accuracy"].item() == 1


def test_rotation_pictures_turn_each_image_back_by_what_is_predicted(digits):
    """A network that is right about two angles and takes the others for 0."""
    method, batch = ready("rotation", digits)
    images = batch.views["global"][0]
    guess = torch.nn.functional.one_hot(torch.tensor([0, 0, 2, 0]).repeat_interleave(8), 4)
    method.encoder, method.classifier = torch.nn.Identity(), torch.nn.Identity()
    method.classifier.register_forward_hook(lambda module, inputs, output: guess)
    rows = method.pictures(batch)["rotations"].unflatten(0, (8, 8))
    for row, image in zip(rows, images, strict=False):
        for k in range(4):
            assert torch.equal(row[k], torch.rot90(image, k, (1, 2)))
            assert torch.equal(row[4 + k], image if k in (0, 2) else torch.rot90(image, k, (1, 2)))


def test_random_masking_hides_what_it_says_and_restores_the_order():
    noise = torch.rand(5, 16, generator=torch.Generator().manual_seed(0))
    visible, restore, mask = random_masking(noise, 4)
    assert mask.sum(1).tolist() == [12.0] * 5
    assert len({tuple(row) for row in mask.tolist()}) > 1, "a mask an image"
    for b in range(5):
        assert sorted(visible[b].tolist()) == [t for t in range(16) if mask[b, t] == 0]
        for t in visible[b].tolist():
            assert visible[b, restore[b, t]] == t


def test_mae_never_looks_at_masked_pixels(digits):
    """Pixels of hidden patches change the target alone: the prediction stays bit for bit."""
    method, batch = ready("mae", digits)
    images = batch.views["global"][0]
    torch.manual_seed(1)
    prediction, target, mask = method.reconstruct(images)
    hidden = mask.view(len(images), 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    scribbled = images + hidden * torch.rand_like(images)
    torch.manual_seed(1)
    other, changed, same_mask = method.reconstruct(scribbled)
    assert torch.equal(mask, same_mask)
    assert torch.equal(prediction, other)
    assert not torch.equal(target, changed)


def test_mae_encodes_the_visible_quarter_alone(digits):
    method, batch = ready("mae", digits)
    seen = []
    method.encoder.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    method.loss(batch, CLOCK)
    assert seen == [1 + 4]  # the class token and 4 of 16 patches


def test_mae_loss_is_zero_for_a_perfect_prediction_and_blind_to_visible_patches(digits):
    from ssl_pipelines.losses.masked_pixels import masked_patch_loss

    method, batch = ready("mae", digits)
    prediction, target, mask = method.reconstruct(batch.views["global"][0])
    assert masked_patch_loss(target, target, mask).item() == 0
    prediction = prediction.detach().requires_grad_()
    masked_patch_loss(prediction, target, mask).backward()
    assert (prediction.grad[mask == 0] == 0).all()
    assert (prediction.grad[mask == 1] != 0).any()


def test_mae_pictures_are_triples_with_the_visible_patches_put_back(digits):
    method, batch = ready("mae", digits)
    pictures = method.eval().pictures(batch)["reconstructions"].unflatten(0, (-1, 3))
    masked, _, original = pictures.unbind(1)
    assert torch.equal(original, batch.views["global"][0][: len(original)])
    visible = (masked - original).abs() < 1e-5
    assert visible.float().mean() > 0.2
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_names_and_blocks_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'simclr'"):
        method_class("simcrl")
    with pytest.raises(InputError, match="needs a ViT"):
        resolved_backbone("mae", {"name": "resnet18"})
    assert resolved_backbone("mae", {"patch_size": 8}).name == "vit_mini"
    assert resolved_backbone("mae", {"patch_size": 8}).patch_size == 8


def test_another_optimizer_than_the_methods_starts_from_its_plain_defaults():
    assert resolved_optimizer("simclr", {}).lr == 0.5
    assert resolved_optimizer("simclr", {"weight_decay": 0}).lr == 0.5
    assert resolved_optimizer("simclr", {"name": "adamw"}).lr != 0.5
