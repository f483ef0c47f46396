"""Visible tokens go back to their places, mask tokens to the others."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.networks.decoder import TokenDecoder
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.views.masks import draw_masking


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_without_blocks_a_place_holds_its_own_token_or_the_mask_token(prefix):
    torch.manual_seed(0)
    decoder = TokenDecoder(6, 8, 0, 1, 5, prefix=prefix).double()
    visible, restore, mask = draw_masking(torch.zeros(2, 1), 12, 0.5)
    tokens = torch.randn(2, prefix + visible.shape[1], 6, dtype=torch.float64)
    found = decoder(tokens, restore, (3, 4))
    assert found.shape == (2, 12, 5)
    positions = sincos_positions(8, 3, 4).double()
    for b in range(2):
        where = visible[b].tolist()
        for t in range(12):
            inner = decoder.mask_token[0, 0] if mask[b, t] else decoder.embed(tokens[b, prefix + where.index(t)])
            torch.testing.assert_close(found[b, t], decoder.head(decoder.norm(inner + positions[t])))


def test_without_an_output_width_the_tokens_come_as_the_norm_leaves_them():
    torch.manual_seed(0)
    decoder = TokenDecoder(6, 8, 1, 2, None)
    _, restore, _ = draw_masking(torch.zeros(2, 1), 4, 0.5)
    found = decoder(torch.randn(2, 3, 6), restore, (2, 2))
    assert found.shape == (2, 4, 8)
    torch.testing.assert_close(found.mean(2), torch.zeros(2, 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.var(2, unbiased=False), torch.ones(2, 4), rtol=0, atol=1e-3)
