"""Tiles put together and taken apart again."""

from __future__ import annotations

import torch

from ssl_pipelines.views.montage import stitch
from ssl_pipelines.views.patches import cut_patches


def test_what_is_stitched_can_be_cut_out_again():
    tiles = torch.rand(3, 9, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    for gap in (0, 2):
        whole = stitch(tiles, gap)
        assert whole.shape == (3, 2, 15 + 2 * gap, 15 + 2 * gap)
        corners = torch.tensor([[(5 + gap) * row, (5 + gap) * column] for row in range(3) for column in range(3)])
        assert torch.equal(cut_patches(whole, corners.expand(3, -1, -1), 5), tiles)
    assert torch.equal(stitch(tiles, 2)[:, :, 5:7], torch.ones(3, 2, 2, 19))
