"""Corruption: how much, where, and that the rest is untouched. Vincent et al. 2008, 2010."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.views.corruption import gaussian, masked, salt_and_pepper

IMAGES = 0.2 + 0.6 * torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(1))  # neither 0, 1 nor the mean below
MEAN = torch.tensor([0.1, 0.9, 0.05]).view(3, 1, 1)


def noise(channels: int) -> torch.Tensor:
    return torch.rand(20, channels, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_masking_sets_its_share_to_the_mean_and_leaves_the_rest(fraction):
    corrupted, hit = masked(IMAGES, noise(3), fraction, MEAN)
    assert hit.float().mean().item() == pytest.approx(fraction, abs=0.01)
    assert torch.equal(corrupted[~hit], IMAGES[~hit])
    assert torch.equal(corrupted[hit], MEAN.expand_as(IMAGES)[hit])
    both = (hit[:, 0] & hit[:, 1]).float().mean().item()
    assert both == pytest.approx(fraction**2, abs=0.01)  # each value on its own


def test_with_noise_of_one_channel_whole_pixels_are_hit():
    _, hit = masked(IMAGES, noise(1), 0.4, MEAN)
    assert torch.equal(hit[:, 0], hit[:, 1])
    assert torch.equal(hit[:, 0], hit[:, 2])
    assert hit[:, 0].float().mean().item() == pytest.approx(0.4, abs=0.01)


def test_salt_and_pepper_is_a_fair_coin():
    corrupted, hit = salt_and_pepper(IMAGES, noise(3), 0.4)
    assert torch.equal(corrupted[~hit], IMAGES[~hit])
    assert set(corrupted[hit].unique().tolist()) == {0.0, 1.0}
    assert hit.float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert corrupted[hit].mean().item() == pytest.approx(0.5, abs=0.01)


def test_gaussian_noise_hits_all_by_its_channels_spread_and_is_not_clipped():
    std = torch.tensor([0.1, 0.2, 0.4]).view(3, 1, 1)
    normal = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    corrupted, hit = gaussian(IMAGES, normal, std)
    assert hit.all()
    spread = (corrupted - IMAGES).std((0, 2, 3))
    torch.testing.assert_close(spread, std.flatten(), rtol=0.02, atol=0)
    assert corrupted.min() < 0
    assert corrupted.max() > 1
