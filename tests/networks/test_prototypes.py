"""Prototypes are directions, whatever an optimizer did to them; DINO's head ends in cosines."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.networks.dino_head import DINOHead
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.networks.prototypes import Prototypes


def test_rows_are_unit_at_first_and_after_each_step():
    prototypes = Prototypes(8, 20)
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(20))
    optimizer = torch.optim.SGD(prototypes.parameters(), lr=5.0)
    prototypes(torch.randn(4, 8)).square().sum().backward()
    optimizer.step()
    moved = prototypes.weight.detach().clone()
    assert (moved.norm(dim=1) - 1).abs().max() > 0.1
    prototypes.renormalize()
    np.testing.assert_allclose(prototypes.weight.detach().numpy(), [row / np.sqrt(row @ row) for row in moved.numpy()], rtol=1e-5)


def test_scores_are_cosines():
    prototypes, z = Prototypes(5, 3).double(), torch.randn(4, 5, dtype=torch.float64)
    rows, unit = prototypes.weight.detach().numpy(), z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    np.testing.assert_allclose(prototypes(7 * z).detach().numpy(), [[u @ row for row in rows] for u in unit], atol=1e-12)


def test_the_last_layer_of_dino_knows_directions_alone():
    head, x = DINOHead(6, 8, 4, 10), torch.randn(3, 6)
    logits = head(x)
    assert logits.shape == (3, 10)
    assert logits.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.last.weight.mul_(torch.rand(10, 1) + 0.5)
    torch.testing.assert_close(head(x), logits)
    z = head.mlp(x).detach().numpy()
    rows = head.last.weight.detach().numpy()
    cosines = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in rows] for a in z]
    np.testing.assert_allclose(logits.detach().numpy(), cosines, atol=1e-5)


def test_batch_norms_in_the_head_are_an_option():
    plain, normed = DINOHead(6, 8, 4, 10), DINOHead(6, 8, 4, 10, norm=True)
    assert [sum(isinstance(layer, BatchNorm) for layer in head.mlp) for head in (plain, normed)] == [0, 2]
    x = torch.randn(32, 6)
    torch.testing.assert_close(normed(5 * x + 3), normed(x), rtol=0, atol=1e-2)
