"""L*a*b* against float64 loops from the definition, the primaries' published values, and two libraries where they are installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.views.lab import rgb_to_lab


def oracle(rgb: np.ndarray) -> np.ndarray:
    """One pixel: sRGB to linear light, to XYZ, relative to D65's white, to L*a*b*. The matrix from chromaticities, not from a table."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    white = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
    primaries = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))]).T
    xyz = primaries @ (np.linalg.solve(primaries, white) * linear)

    def f(t: float) -> float:
        return t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29

    x, y, z = (f(value / base) for value, base in zip(xyz, white, strict=True))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def colors(count: int = 200) -> np.ndarray:
    values = np.random.default_rng(0).random((count, 3))
    values[: count // 4] *= 0.05  # where sRGB is linear
    return values


def test_equals_the_definition():
    rgb = colors()
    found = rgb_to_lab(torch.tensor(rgb).T.reshape(1, 3, 1, -1))[0, :, 0].T.numpy()
    assert np.abs(found - [oracle(row) for row in rgb]).max() < 0.02  # the six-digit table, whose white is rounded too


@pytest.mark.parametrize(
    ("rgb", "lab"),  # Lindbloom's calculator, sRGB and D65
    [
        ((1, 0, 0), (53.2408, 80.0925, 67.2032)),
        ((0, 1, 0), (87.7347, -86.1827, 83.1793)),
        ((0, 0, 1), (32.2970, 79.1875, -107.8602)),
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_primaries(rgb, lab):
    found = rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten().tolist()
    assert found == pytest.approx(lab, abs=0.01)


def scikit_image_arithmetic(rgb: np.ndarray) -> np.ndarray:
    """The constants that scikit-image carries, in float64."""
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    linear = np.array([((v + 0.055) / 1.055) ** 2.4 if v > 0.04045 else v / 12.92 for v in rgb])
    ratio = [
        sum(m * v for m, v in zip(row, linear, strict=True)) / white
        for row, white in zip(matrix, (0.95047, 1, 1.08883), strict=True)
    ]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in ratio)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_scikit_images_arithmetic(dtype):
    rgb = colors()
    found = rgb_to_lab(torch.tensor(rgb, dtype=dtype).T.reshape(1, 3, 1, -1))[0, :, 0].T.double().numpy()
    assert np.abs(found - [scikit_image_arithmetic(row) for row in rgb]).max() < 1e-4


def test_equals_scikit_image():
    color = pytest.importorskip("skimage.color")
    rgb = colors().reshape(1, -1, 3)
    found = rgb_to_lab(torch.tensor(rgb).permute(2, 0, 1).unsqueeze(0))[0].permute(1, 2, 0).numpy()
    assert np.abs(found - color.rgb2lab(rgb)).max() < 1e-4


def test_equals_kornia():
    color = pytest.importorskip("kornia.color")
    x = torch.tensor(colors()).T.reshape(1, 3, 1, -1)
    torch.testing.assert_close(rgb_to_lab(x), color.rgb_to_lab(x), rtol=0, atol=1e-4)


def test_gray_has_no_color_and_gradients_are_finite():
    x = torch.linspace(0, 1, 9).view(1, 1, 1, 9).repeat(1, 3, 1, 1).requires_grad_()
    lab = rgb_to_lab(x)
    assert lab[:, 1:].abs().max() < 0.01
    lab.sum().backward()
    assert x.grad.isfinite().all()
