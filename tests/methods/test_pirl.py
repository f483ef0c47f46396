"""PIRL: what the patches may change and what not. Misra & van der Maaten 2020, section 3 and appendix A."""

from __future__ import annotations

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.nce import log_normalizer, nce
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("pirl", methods={"pirl": {"negatives": 20} | block}), store)
    loop.method.double().train()
    [batch] = loop.feed.batches(0, 8)
    return loop, Batch({key: views.double() for key, views in batch.views.items()}, batch.targets, batch.ids)


def test_without_patches_it_is_instdisc_bit_for_bit(digits):
    loop, batch = ready(digits, patch_weight=0.0)
    other = small_loop(small_config("instdisc", methods={"instdisc": {"negatives": 20, "temperature": 0.07}}), digits)
    instdisc = other.method.double().train()
    state = {key: value for key, value in loop.method.state_dict().items() if key in instdisc.state_dict()}
    instdisc.load_state_dict(state | {"log_z": torch.tensor(torch.nan)})
    outputs = []
    for method in (loop.method, instdisc):
        torch.manual_seed(7)
        output = method.loss(batch, CLOCK)
        output.loss.backward()
        method.after_step([output], CLOCK)
        outputs.append(output)
    assert torch.equal(outputs[0].loss, outputs[1].loss)
    assert torch.equal(loop.method.bank.rows, instdisc.bank.rows)
    assert torch.equal(loop.method.log_z[0], instdisc.log_z)
    theirs = dict(instdisc.named_parameters())
    for key, parameter in loop.method.named_parameters():
        if key in theirs:
            torch.testing.assert_close(parameter.grad, theirs[key].grad, rtol=0, atol=0, msg=key)


def test_the_loss_is_the_weighted_sum_of_both_terms_against_the_stored_row(digits):
    loop, batch = ready(digits, patch_weight=0.25)
    method = loop.method
    torch.manual_seed(7)
    output = method.loss(batch, CLOCK)
    torch.manual_seed(7)
    drawn = method.bank.draw(16, 20)
    with torch.no_grad():
        v = torch.nn.functional.normalize(method.projector(method.encoder(batch.views["global"][0])), dim=1)
        u = method.embed_patches(method.shuffled_patches(batch.views["patched"][0]))
    terms, rows = [], method.bank.rows
    for z in (v, u):
        positive = torch.stack([z[b] @ rows[batch.ids[b]] for b in range(16)])
        negatives = torch.stack([torch.stack([z[b] @ rows[i] for i in drawn[b]]) for b in range(16)])
        log_z = log_normalizer(positive, negatives, len(rows), 0.07)
        terms.append(nce(positive, negatives, log_z, len(rows), 0.07))
    assert output.loss.item() == pytest.approx((0.75 * terms[0] + 0.25 * terms[1]).item(), rel=1e-9)


def test_the_bank_hears_of_the_image_alone(digits):
    loop, batch = ready(digits, patch_weight=1.0)
    method, before = loop.method, loop.method.bank.rows.clone()
    torch.manual_seed(0)
    output = method.loss(batch, CLOCK)
    with torch.no_grad():
        v = torch.nn.functional.normalize(method.projector(method.encoder(batch.views["global"][0])), dim=1)
    torch.testing.assert_close(output.memory["v"], v)
    method.after_step([output], CLOCK)
    mixed = 0.5 * before[batch.ids] + 0.5 * v
    torch.testing.assert_close(method.bank.rows[batch.ids], mixed / mixed.norm(dim=1, keepdim=True))
    changed = Batch(batch.views | {"patched": batch.views["patched"].flip(3)}, batch.targets, batch.ids)
    torch.manual_seed(0)
    assert torch.equal(method.loss(changed, CLOCK).memory["v"], output.memory["v"])


def test_the_order_of_the_patches_matters_to_their_embedding(digits):
    loop, batch = ready(digits)
    patches = loop.method.shuffled_patches(batch.views["patched"][0])
    with torch.no_grad():
        straight, mixed = loop.method.embed_patches(patches), loop.method.embed_patches(patches[:, torch.randperm(9)])
    assert (straight - mixed).abs().max() > 1e-3
    torch.testing.assert_close(straight.norm(dim=1), torch.ones(16, dtype=torch.float64))


def test_every_image_has_nine_patches_one_a_cell_in_an_order_of_its_own(digits):
    """Cells painted with their number, no colors drawn: what comes out says where it was."""
    loop, _ = ready(digits, patch_recipe={"jitter": 0, "grayscale": 0})
    painted = torch.arange(9.0).view(3, 3).repeat_interleave(16, 0).repeat_interleave(16, 1) / 10
    patches = loop.method.shuffled_patches(painted.expand(16, 1, 48, 48))
    assert patches.shape == (16, 9, 1, 12, 12)
    numbers = (patches.mean((2, 3, 4)) * 10).round().long()
    assert (patches.amax((2, 3, 4)) - patches.amin((2, 3, 4))).max() < 1e-6, "no patch crosses a border"
    assert torch.equal(numbers.sort(1).values, torch.arange(9).expand(16, 9))
    assert len({tuple(row) for row in numbers.tolist()}) > 12


def test_colors_are_drawn_for_every_patch(digits):
    loop, _ = ready(digits, patch_recipe={"jitter": 1.0})
    patches = loop.method.shuffled_patches(torch.full((16, 1, 48, 48), 0.5))
    assert len(torch.unique(patches.mean((2, 3, 4)))) > 100  # of 144


@pytest.mark.parametrize(("store", "side", "cell"), [(28, 48, 16), (32, 48, 16), (64, 66, 22), (96, 96, 32)])
def test_small_images_are_enlarged_for_the_patches(store, side, cell):
    config = small_config("pirl").method_config
    plan = config.resolved_views(store)
    assert plan.groups["patched"].size == side == 3 * cell
    assert plan.groups["global"].size == plan.size == store
    assert plan.groups["patched"].recipe.scale == (0.6, 1.0)


def test_both_forms_train_and_only_one_needs_z(digits):
    for form in ("constant", "softmax"):
        loop, _ = ready(digits, form=form)
        loop.run_step(0)
        assert bool(loop.method.log_z.isfinite().all()) == (form == "constant")


def test_what_does_not_fit_is_refused(digits):
    with pytest.raises(InputError, match=r"views.groups.patched.size=50: allowed are multiples of 3"):
        small_config("pirl", methods={"pirl": {"views": {"groups": {"patched": {"size": 50}}}}})
    with pytest.raises(InputError, match="patch_weight"):
        small_config("pirl", methods={"pirl": {"patch_weight": 1.5}})
    vit = {"name": "vit_mini", "depth": 1, "width": 1.0, "patch_size": 8}
    with pytest.raises(InputError, match=r"backbone.patch_size=8 does not divide the view size 12"):
        small_loop(small_config("pirl", backbone=vit), digits)
    with pytest.raises(InputError, match="'relative' is made for views of 16 px alone, and here are some of 12"):
        small_loop(small_config("pirl", backbone=vit | {"patch_size": 4, "positions": "relative"}), digits)
    with pytest.raises(InputError, match="'vit_tiny_patch16_224' takes views of 16 px alone"):
        small_loop(small_config("pirl", backbone={"name": "vit_tiny_patch16_224", "width": 1.0}), digits)
