"""The small decoder."""

from __future__ import annotations

import torch

from ssl_pipelines.networks.map_decoder import MapDecoder


def test_each_place_paints_its_own_pixels_and_its_neighbors_as_far_as_the_convolutions_reach():
    for depth in (0, 2):
        decoder = MapDecoder(5, 8, depth, 4, 3).eval()
        features = torch.randn(1, 5, 6, 6, requires_grad=True)
        assert decoder(features).shape == (1, 3, 24, 24)
        blocks = decoder.embed(features)
        for block in decoder.blocks:
            blocks = blocks + block[1:](blocks)  # without the norms, which look at the whole map
        [gradient] = torch.autograd.grad(decoder.head[1:](blocks)[:, :, 8:12, 12:16].square().sum(), features)
        reached = (gradient != 0).any(1)[0].nonzero()
        assert reached.amin(0).tolist() == [max(0, 2 - depth), max(0, 3 - depth)]
        assert reached.amax(0).tolist() == [2 + depth, min(5, 3 + depth)]
