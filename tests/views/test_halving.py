"""Halving against Pillow's resize, filter by filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_pipelines.views.halving import STYLES, halved, halving_matrices

FILTERS = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]


@pytest.mark.parametrize("style", range(STYLES))
@pytest.mark.parametrize("size", [8, 32])
def test_equals_pillow(style, size):
    image = np.random.default_rng(0).random((size, size)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((size // 2, size // 2), FILTERS[style])).clip(0, 1)
    found = halved(torch.tensor(image).view(1, 1, size, size), torch.tensor([style]))[0, 0]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_every_image_has_its_own_filter_and_the_first_is_the_mean_of_four():
    images = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both = halved(images, torch.tensor([3, 0, 1, 0]))
    for k, style in enumerate((3, 0, 1, 0)):
        torch.testing.assert_close(both[k : k + 1], halved(images[k : k + 1], torch.tensor([style])))
    torch.testing.assert_close(both[1], torch.nn.functional.avg_pool2d(images[1], 2))
    assert len({row.numpy().tobytes() for row in halving_matrices(8)}) == STYLES
