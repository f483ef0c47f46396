"""A padded crop that is resized: outside the image all is zero, to the last border pixel."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from ssl_pipelines.views.geometry import resize_matrix

PAD, SIDE = 4, 24


@pytest.mark.parametrize("size", [24, 16, 37])
@pytest.mark.parametrize("offset", [-4, -1, 0, 3])
def test_equals_padding_cropping_and_resizing(size, offset):
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    start, length = torch.tensor([float(offset)]), torch.tensor([float(SIDE)])
    matrix = resize_matrix(start, length, SIDE, size, beyond=True)[0]
    place = PAD + offset
    padded = tv.pad(x, [PAD])[..., place : place + SIDE, place : place + SIDE]
    theirs = tv.resize(padded, [size, size], antialias=True)
    torch.testing.assert_close(matrix @ x @ matrix.T, theirs, rtol=0, atol=1e-5)


def test_inside_the_image_nothing_changes():
    start, length = torch.tensor([3.0, 0.0]), torch.tensor([11.0, 24.0])
    torch.testing.assert_close(resize_matrix(start, length, SIDE, 16, beyond=True), resize_matrix(start, length, SIDE, 16))
