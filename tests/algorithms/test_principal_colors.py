"""Feature maps as colors, against a singular value decomposition."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.algorithms.principal_colors import principal_colors


def test_colors_are_the_leading_components_on_one_scale():
    maps = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 6, 4, 5)) * np.array([5, 3, 2, 1, 0.5, 0.1])[:, None, None])
    rows = maps.permute(0, 2, 3, 1).reshape(-1, 6).numpy()
    _, _, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    values = (rows - rows.mean(0)) @ directions[:3].T
    found = principal_colors(maps).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    wanted = values / (4 * values[:, 0].std(ddof=1))
    for k in range(3):
        sign = np.sign(directions[k, np.abs(directions[k]).argmax()])
        np.testing.assert_allclose(found[:, k], np.clip(0.5 + sign * wanted[:, k], 0, 1), atol=1e-9)


def test_a_constant_map_is_gray_and_narrow_ones_have_three_colors():
    assert (principal_colors(torch.ones(2, 5, 3, 3)) == 0.5).all()
    assert principal_colors(torch.rand(2, 1, 3, 3)).shape == (2, 3, 3, 3)
