"""Back from L*a*b*: the inverse of the way there, and a library where it is installed."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.views.lab import rgb_to_lab
from ssl_pipelines.views.rgb_of_lab import lab_to_rgb


def colors() -> torch.Tensor:
    level = torch.linspace(0, 1, 9, dtype=torch.float64)
    return torch.cartesian_prod(level, level, level).T.reshape(1, 3, 27, 27)


def test_there_and_back():
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(colors())), colors(), rtol=0, atol=1e-5)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(colors().float())), colors().float(), rtol=0, atol=1e-4)


def test_equals_scikit_image():
    color = pytest.importorskip("skimage.color")
    lab = rgb_to_lab(colors())[0].permute(1, 2, 0).numpy()
    torch.testing.assert_close(
        lab_to_rgb(rgb_to_lab(colors()))[0].permute(1, 2, 0), torch.tensor(color.lab2rgb(lab)), rtol=0, atol=1e-4
    )


def test_known_colors_and_those_that_no_screen_has():
    lab = torch.tensor([[0.0, 0, 0], [100, 0, 0], [53.24, 80.09, 67.20], [50, -128, 128]]).T.reshape(1, 3, 1, 4)
    black, white, red, beyond = lab_to_rgb(lab)[0, :, 0].T
    torch.testing.assert_close(
        torch.stack([black, white, red]), torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]), rtol=0, atol=5e-3
    )
    assert beyond.isfinite().all()
    assert beyond.min() >= 0
    assert beyond.max() <= 1
