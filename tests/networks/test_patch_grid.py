"""No leak: between patches, and from rows below. Jacobians that are zero exactly where nothing may be seen."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.context import RowContext
from ssl_pipelines.networks.patch_grid import PatchGrid
from ssl_pipelines.networks.resnet import ResNet


def grid(norm: str = "none", image_size: int = 32, count: int = 5) -> PatchGrid:
    return PatchGrid(ResNet("resnet_small", 1, width=0.25, norm=norm), count, image_size)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_patch_is_made_of_its_own_pixels(norm):
    """In training mode, where a batch norm would look across."""
    encoder = grid(norm).train()
    images = torch.rand(2, 1, 32, 32, requires_grad=True)
    z = encoder.map(images)  # 5 x 5 patches of 10 px every 5 px, from pixel 1
    assert z.shape == (2, encoder.dim, 5, 5)
    for row, column in ((0, 0), (1, 3), (4, 4)):
        gradient = torch.autograd.grad(z[0, :, row, column].square().sum(), images, retain_graph=True)[0]
        inside = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
        inside[0, :, 1 + 5 * row : 11 + 5 * row, 1 + 5 * column : 11 + 5 * column] = True
        assert (gradient[~inside] == 0).all()
        assert (gradient[inside] != 0).float().mean() > 0.5


def test_a_batch_norm_would_leak():
    """The test above can fail."""
    encoder = grid("batch").train()
    images = torch.rand(2, 1, 32, 32, requires_grad=True)
    gradient = torch.autograd.grad(encoder.map(images)[0, :, 0, 0].square().sum(), images)[0]
    assert (gradient[1] != 0).any()


def test_patches_are_cut_where_they_are_said_to_be():
    images = torch.arange(32.0).view(1, 1, 32, 1).expand(1, 1, 32, 32) + torch.arange(32.0).view(1, 1, 1, 32) / 100
    patches = grid().patches(images)
    assert patches.shape == (1, 5, 5, 1, 10, 10)
    for row in range(5):
        for column in range(5):
            top, left = 1 + 5 * row, 1 + 5 * column
            assert torch.equal(patches[0, row, column], images[0, :, top : top + 10, left : left + 10])


@pytest.mark.parametrize(("size", "count", "patch"), [(32, 7, 8), (32, 5, 10), (96, 5, 32), (96, 7, 24), (16, 5, 4)])
def test_the_patch_size_follows_the_image(size, count, patch):
    encoder = grid(image_size=size, count=count)
    assert encoder.patch_size == patch
    assert encoder(torch.rand(2, 1, size, size)).shape == (2, encoder.dim)


def test_an_image_is_the_mean_over_its_patches():
    encoder, images = grid().eval(), torch.rand(3, 1, 32, 32)
    patches = encoder.patches(images)
    alone = torch.stack([encoder.trunk(patches[:, r, c]) for r in range(5) for c in range(5)]).mean(0)
    torch.testing.assert_close(encoder(images), alone)


def test_patches_that_vanish_are_refused():
    with pytest.raises(InputError, match="grid=7 leaves patches below 4 px of views of 12 px; allowed is up to 5"):
        grid(image_size=12, count=7)


@pytest.mark.parametrize("depth", [1, 3])
def test_context_sees_no_row_below_and_all_of_its_own(depth):
    context = RowContext(6, 8, depth)
    z = torch.randn(1, 6, 5, 4, requires_grad=True)
    c = context(z)
    for row in range(5):
        gradient = torch.autograd.grad(c[0, :, row].square().sum(), z, retain_graph=True)[0][0].abs().sum((0, 2))
        assert (gradient[row + 1 :] == 0).all()
        assert (gradient[max(0, row - depth) : row + 1] > 0).all(), "its own row and one more a block"


def test_a_trunk_without_norm_keeps_its_scale():
    """Every depth: the sum over residual branches neither explodes nor dies."""
    torch.manual_seed(0)
    for name in ("resnet_small", "resnet18", "resnet50"):
        z = ResNet(name, 3, width=0.25, norm="none").map(torch.rand(4, 3, 16, 16))
        assert 0.05 < z.std().item() < 50, (name, z.std().item())
