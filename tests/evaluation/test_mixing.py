"""Soft targets against their closed forms, and pasted boxes against counted pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssl_pipelines.evaluation.config import FinetuneRecipe
from ssl_pipelines.evaluation.mixing import pasted, smoothed, softened

LABELS = torch.arange(12) % 4


def solid():
    """Image i is i + 1 everywhere, so that a pixel tells whose it is."""
    return torch.arange(1.0, 13).view(12, 1, 1, 1).expand(12, 3, 10, 10).clone()


def mixed(recipe, seed=0, step=0, images=None):
    return softened(solid() if images is None else images, LABELS, 4, FinetuneRecipe.of(recipe, "finetune"), seed, step)


def test_nothing_asked_nothing_done():
    images = solid()
    seen, targets = mixed({}, images=images)
    assert seen is images
    assert targets is LABELS


def test_smoothing_is_the_closed_form_and_torchs():
    assert smoothed(torch.tensor([2]), 4, 0.2).tolist() == [pytest.approx([0.05, 0.05, 0.85, 0.05])]
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    _, targets = mixed({"label_smoothing": 0.1})
    assert F.cross_entropy(logits, targets).item() == pytest.approx(F.cross_entropy(logits, LABELS, label_smoothing=0.1).item())


def test_mixup_mixes_images_and_targets_by_one_weight():
    # every image its own class, so that a row of targets says who was mixed, and by how much
    kept = set()
    for step in range(20):
        seen, targets = softened(solid(), torch.arange(12), 12, FinetuneRecipe(mixup=0.8), 0, step)
        assert torch.allclose(targets.sum(1), torch.ones(12))
        assert torch.allclose(seen, (targets @ torch.arange(1.0, 13)).view(12, 1, 1, 1).expand_as(seen))
        assert ((targets > 0).sum(1) <= 2).all()
        kept.add(round(targets.diagonal().min().item(), 4))
    assert len(kept) == 20


def test_cutmix_weighs_targets_by_the_pasted_area():
    sizes = set()
    for step in range(30):
        seen, targets = mixed({"cutmix": 1.0}, step=step)
        own = (seen[:, 0] == torch.arange(1.0, 13).view(12, 1, 1)).flatten(1)  # (12, 100): pixels that stayed
        for i in range(12):
            others = seen[i, 0].flatten()[~own[i]]
            assert len(others.unique()) <= 1, "one partner an image"
            if len(others):
                partner = int(others[0]) - 1
                expected = torch.zeros(4)
                expected[LABELS[i]] += own[i].float().mean()
                expected[LABELS[partner]] += 1 - own[i].float().mean()
                assert torch.allclose(targets[i], expected, atol=1e-6)
                sizes.add(len(others))
        assert torch.equal(seen[:, 0], seen[:, 2]), "all channels alike"
    assert len(sizes) > 5


def test_a_box_is_a_rectangle_of_about_the_share_and_may_be_cut_off():
    random, areas = np.random.default_rng(0), []
    for _ in range(200):
        images = torch.zeros(2, 1, 32, 32)
        images[1] = 1
        seen, kept = pasted(images, torch.tensor([1, 0]), 0.75, random)
        there = seen[0, 0].nonzero()
        height, width = (there.max(0).values - there.min(0).values + 1).tolist()
        assert height * width == len(there) == round((1 - kept) * 32 * 32)
        areas.append(len(there))
    assert max(areas) == 256 == round(0.25 * 32 * 32)
    assert min(areas) < 256


def test_the_draw_is_a_function_of_seed_and_step():
    both = {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1}
    first, again = mixed(both, seed=3, step=7), mixed(both, seed=3, step=7)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], mixed(both, seed=3, step=8)[0])
    assert not torch.equal(first[0], mixed(both, seed=4, step=7)[0])


def test_both_take_turns():
    # a pasted box leaves whole numbers, a mixture does not
    cut = [bool((mixed({"mixup": 1.0, "cutmix": 1.0}, step=step)[0] % 1 == 0).all()) for step in range(60)]
    assert 15 < sum(cut) < 45
