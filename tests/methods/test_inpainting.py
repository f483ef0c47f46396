"""What is particular to inpainting: what is hidden stays hidden, and painter and critic take turns."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.holes import hole_error
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.pretext.inpainting import fill
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.training.randomness import derive

CLOCK = Clock(0, 8, 0)
KINDS = pytest.mark.parametrize("holes", ["regions", "blocks", "center"])


def ready(store, **block):
    loop = small_loop(small_config("inpainting", methods={"inpainting": block}), store)
    return loop, loop.feed.batches(0, 8)[0]


@KINDS
def test_what_is_in_the_hole_never_reaches_the_network(digits, holes):
    loop, batch = ready(digits, holes=holes)
    method, images = loop.method, batch.views["global"][0]
    scribble = torch.rand_like(images)
    torch.manual_seed(1)
    real, hole, picture = method.inpaint(images)
    torch.manual_seed(1)
    changed, same_hole, same = method.inpaint(images + hole * scribble)
    assert torch.equal(hole, same_hole)
    assert torch.equal(picture, same)
    assert not torch.equal(real, changed)
    torch.manual_seed(1)
    _, _, other = method.inpaint(images + (1 - hole) * scribble)
    assert not torch.equal(picture, other)


@KINDS
def test_holes_are_an_images_own_and_new_each_step(digits, holes):
    loop, batch = ready(digits, holes=holes)
    images = batch.views["global"][0]
    first, second = loop.method.draw_holes(images), loop.method.draw_holes(images)
    assert first.shape == (16, 1, 16, 16)
    fixed = holes == "center"
    assert torch.equal(first, second) == fixed
    assert (len({tuple(hole.flatten().tolist()) for hole in first}) == 1) == fixed


def test_the_hole_is_filled_with_the_mean_color(photos):
    loop, batch = ready(photos)
    method, images, seen = loop.method, batch.views["global"][0], []
    encode = method.encoder.map
    method.encoder.map = lambda x: seen.append(x) or encode(x)
    _, hole, _ = method.inpaint(images)
    inside = (hole > 0).expand_as(images)
    assert method.encoder.normalize(seen[0])[inside].abs().max() < 1e-5
    assert torch.equal(seen[0][~inside], images[~inside])


def test_the_central_hole_has_a_rim_that_is_seen_and_predicted_with_tenfold_weight(digits):
    loop, batch = ready(digits, holes="center", overlap=2, adversarial_weight=0)
    method = loop.method.eval()
    real, hole, picture = method.inpaint(batch.views["global"][0])
    weight = torch.zeros(16, 1, 16, 16)
    weight[:, :, 4:12, 4:12] = 10
    weight[:, :, 6:10, 6:10] = 1
    assert hole.sum() == 16 * 16
    oracle = (weight * (picture - real).square()).sum((1, 2, 3)) / 64
    assert method.generate(real, hole, picture).loss.item() == pytest.approx(oracle.mean().item(), rel=1e-5)


def test_the_loss_weighs_error_and_critic(digits):
    loop, batch = ready(digits, adversarial_weight=0.25)
    method = loop.method.eval()
    torch.manual_seed(1)
    output = method.loss(batch, CLOCK)
    torch.manual_seed(1)
    real, hole, picture = method.inpaint(batch.views["global"][0])
    d = method.critic(real * (1 - hole) + picture * hole).sigmoid()
    oracle = 0.75 * hole_error(picture, real, hole) - 0.25 * d.log().mean()
    assert output.loss.item() == pytest.approx(oracle.item(), rel=1e-5)


def test_the_picture_counts_inside_the_hole_alone_for_both_losses(digits):
    loop, batch = ready(digits)
    method = loop.method
    real, hole, picture = method.inpaint(batch.views["global"][0])
    picture = picture.detach().requires_grad_()
    method.generate(real, hole, picture).loss.backward()
    inside = (hole > 0).expand_as(picture)
    assert (picture.grad[~inside] == 0).all()
    assert (picture.grad[inside] != 0).float().mean() > 0.99


def test_critic_and_painter_take_turns_each_with_its_optimizer(digits):
    loop, batch = ready(digits)
    method = loop.method
    sides = {name: {id(p) for g in optimizer.param_groups for p in g["params"]} for name, (optimizer, _) in loop.optimizers.items()}
    critic = {id(p) for p in method.critic.parameters()}
    assert sides["critic"] == critic
    assert not sides["main"] & critic
    turns = method.losses(batch, CLOCK)
    first = next(turns)
    assert first.optimizer == "critic"
    first.loss.backward()
    assert all(p.grad is None for key, p in method.named_parameters() if not key.startswith("critic"))
    assert all(p.grad is not None for p in method.critic.parameters())
    second = next(turns)
    assert second.optimizer == "main"
    method.zero_grad()
    second.loss.backward()
    assert all(p.grad is not None for key, p in method.named_parameters() if not key.startswith("critic"))
    assert next(turns, None) is None


def test_the_painter_answers_the_critic_that_has_just_stepped_on_the_same_picture(digits):
    """One run_step by hand: Adam on both sides, the painter's gradient through the updated critic."""
    loop, batch = ready(digits)
    by_hand, _ = ready(digits)
    method = by_hand.method.train()
    torch.manual_seed(derive(by_hand.seed, "step", 0))
    real, hole, picture = method.inpaint(batch.views["global"][0])
    loop.run_step(0)
    rates = {name: optimizer.param_groups[0]["lr"] for name, (optimizer, _) in loop.optimizers.items()}
    for name, turn in (("critic", method.criticize), ("main", method.generate)):
        loss = turn(real, hole, picture).loss
        method.zero_grad()
        loss.backward(retain_graph=True)
        params = [p for g in by_hand.optimizers[name][0].param_groups for p in g["params"]]
        torch.optim.Adam(params, rates[name], betas=(0.5, 0.999)).step()
    for key, value in loop.method.named_parameters():
        torch.testing.assert_close(
            value, dict(method.named_parameters())[key], rtol=1e-4, atol=1e-5, msg=lambda m, key=key: f"{key} {m}"
        )


def test_a_critic_that_cannot_tell_costs_log_two(digits):
    loop, batch = ready(digits)
    for parameter in loop.method.critic.layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    first, second = loop.method.losses(batch, CLOCK)
    assert first.loss.item() == pytest.approx(math.log(2), rel=1e-6)
    assert second.metrics["fooled"].item() == pytest.approx(math.log(2), rel=1e-6)


def test_reconstruction_alone_needs_no_critic(digits):
    loop, batch = ready(digits, adversarial_weight=0)
    assert not hasattr(loop.method, "critic")
    [output] = loop.method.losses(batch, CLOCK)
    assert output.optimizer == "main"
    assert list(loop.optimizers) == ["main"]
    losses = [loop.run_step(step).loss.item() for step in range(8)]
    assert losses[-1] < losses[0]


def test_pictures_are_triples_with_the_surroundings_put_back(digits):
    loop, batch = ready(digits)
    images = batch.views["global"][0][:8]
    holed, filled, original = loop.method.eval().pictures(batch)["inpaintings"].unflatten(0, (8, 3)).unbind(1)
    assert torch.equal(original, images)
    hidden = (holed - loop.method.encoder.mean).abs() < 1e-6
    torch.testing.assert_close(filled[~hidden], original[~hidden], rtol=0, atol=1e-5)
    assert 0.2 < hidden.float().mean() < 0.3
    assert filled.min() >= 0
    assert filled.max() <= 1
    real, hole, picture = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0], [0, 0]]]]), torch.ones(1, 1, 2, 2)
    assert fill(real, hole, picture).flatten().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"overlap": 2}, "overlap=2 is read with holes='center'"),
        ({"holes": "blocks", "region_share": 0.3}, "region_share=0.3 is read with holes='regions'"),
        ({"adversarial_weight": 0, "critic_lr": 0.1}, "critic_lr=0.1 is read with adversarial_weight above 0"),
        ({"adversarial_weight": 1}, "adversarial_weight=1 is refused"),
    ],
)
def test_what_would_be_ignored_is_refused(block, message):
    with pytest.raises(InputError, match=message):
        method_config("inpainting", block)


def test_what_leaves_nothing_to_do_is_refused(digits):
    with pytest.raises(InputError, match="overlap=4 leaves no hole in views of 16 px"):
        small_method(small_config("inpainting", methods={"inpainting": {"holes": "center", "overlap": 4}}), Store.open(digits))
    with pytest.raises(InputError, match="needs a map of places, and this encoder leaves one of 16 px"):
        small_method(small_config("inpainting", backbone={"output_stride": 16}), Store.open(digits))
