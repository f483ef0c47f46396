"""RankMe and the embedding's spread where both are known."""

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.algorithms.spectra import effective_rank, embedding_std


def test_effective_rank_matches_numpy():
    z = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9) + 3
    s = np.sqrt(np.linalg.eigvalsh(z.T @ z))
    p = s / s.sum() + 1e-7
    assert float(effective_rank(torch.tensor(z))) == pytest.approx(math.exp(-sum(x * math.log(x) for x in p)), rel=1e-9)


def test_orthonormal_columns_have_full_rank():
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 6)))[0]
    assert float(effective_rank(torch.tensor(q))) == pytest.approx(6, rel=1e-5)
    assert float(effective_rank(torch.tensor(q * 100))) == pytest.approx(6, rel=1e-5)


def test_rank_one_is_one_and_zero_is_zero():
    outer = torch.outer(torch.randn(30, generator=torch.Generator().manual_seed(0)).double(), torch.arange(1.0, 6).double())
    assert float(effective_rank(outer)) == pytest.approx(1, abs=2e-5)
    assert float(effective_rank(torch.zeros(5, 3))) == 0


def test_not_finite_is_nan():
    assert math.isnan(float(effective_rank(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))))


def test_embedding_std():
    axes = torch.cat([torch.eye(5), -torch.eye(5)]) * torch.arange(1.0, 11)[:, None]  # lengths play no part
    assert float(embedding_std(axes)) == pytest.approx(1, rel=1e-6)
    assert float(embedding_std(torch.tensor([[1.0, 2.0, 3.0]]) * torch.arange(1.0, 8)[:, None])) == pytest.approx(0, abs=1e-6)
    rows = np.random.default_rng(2).normal(size=(11, 4))
    unit = np.array([row / np.sqrt(row @ row) for row in rows])
    expected = 2 * np.mean([np.sqrt(np.mean((column - column.mean()) ** 2)) for column in unit.T])
    assert float(embedding_std(torch.tensor(rows))) == pytest.approx(expected, rel=1e-6)
