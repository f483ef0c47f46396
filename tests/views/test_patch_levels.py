"""Means, deviations and mean squares of patches."""

from __future__ import annotations

import torch

from ssl_pipelines.views.patch_levels import centered, standardized, unit_rms


def patches() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    level = torch.rand(2, 9, 3, 1, 1, generator=random, dtype=torch.float64)
    return level + level * torch.rand(2, 9, 3, 6, 6, generator=random, dtype=torch.float64)


def test_each_channel_of_each_tile_has_mean_zero_and_deviation_one():
    x = standardized(patches())
    torch.testing.assert_close(x.mean((3, 4)), torch.zeros(2, 9, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(x.std((3, 4), correction=0), torch.ones(2, 9, 3, dtype=torch.float64))
    torch.testing.assert_close(standardized(3 * patches() + 0.2), x)


def test_the_mean_square_is_one_over_all_channels_of_a_patch():
    x = unit_rms(centered(patches()))
    torch.testing.assert_close(x.square().mean((2, 3, 4)), torch.ones(2, 9, dtype=torch.float64))
    torch.testing.assert_close(x.mean((3, 4)), torch.zeros(2, 9, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    ratio = centered(patches()) / x
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1, :1].expand_as(ratio))


def test_flat_patches_stay_flat_and_finite():
    flat = torch.full((1, 1, 3, 4, 4), 0.7)
    for function in (standardized, lambda x: unit_rms(centered(x))):
        assert function(flat).abs().max() < 1e-2
