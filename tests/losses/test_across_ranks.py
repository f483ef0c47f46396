"""Two ranks with half the batch each compute what one process computes on the whole: values, and gradients of every row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from small_runs import on_ranks
from ssl_pipelines.distributed import all_reduce_mean, local_rows, world_size
from ssl_pipelines.losses.align_uniform import align_uniform, uniformity
from ssl_pipelines.losses.barlow import barlow
from ssl_pipelines.losses.clip import clip
from ssl_pipelines.losses.debiased import debiased
from ssl_pipelines.losses.flat_nce import flat_nce
from ssl_pipelines.losses.hard_negative import hard_negative
from ssl_pipelines.losses.info_nce import in_batch_info_nce, info_nce, symmetric_info_nce
from ssl_pipelines.losses.inva_spread import inva_spread, inva_spread_released
from ssl_pipelines.losses.nce import log_normalizer, nce
from ssl_pipelines.losses.negative_cosine import negative_cosine
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.losses.triplet import batch_hard_triplet, semi_hard_triplet
from ssl_pipelines.losses.vicreg import covariance, invariance, variance

ROWS, DIM = 6, 5
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nt_xent": partial(nt_xent, temperature=0.3),
    "in_batch_info_nce": partial(in_batch_info_nce, temperature=0.3),
    "symmetric_info_nce": partial(symmetric_info_nce, temperature=0.3),
    "inva_spread": partial(inva_spread, temperature=0.3),
    "inva_spread_released": partial(inva_spread_released, temperature=0.3),
    "semi_hard_triplet": partial(semi_hard_triplet, margin=0.3),
    "batch_hard_triplet": partial(batch_hard_triplet, margin=0.3),
    "align_uniform": partial(align_uniform, alpha=2.0, t=2.0, align_weight=1.5, uniform_weight=0.5),
    "uniformity": lambda z1, z2: uniformity(z1 * z2),
    "debiased": partial(debiased, temperature=0.3, positive_prior=0.2),
    "hard_negative": partial(hard_negative, temperature=0.3, positive_prior=0.2, beta=1.5),
    "flat_nce": partial(flat_nce, temperature=0.3),
    "clip": lambda z1, z2: clip(z1, z2, z1.new_tensor(1.2)),
    "negative_cosine": negative_cosine,
    "barlow": partial(barlow, off_diagonal_weight=0.1),
    "invariance": invariance,
    "variance": lambda z1, z2: variance(z1 * z2),
    "covariance": lambda z1, z2: covariance(z1 * z2),
    "info_nce": lambda z1, z2: info_nce(z1[:, 0], z1 @ FIXED.T, 0.3),
    "nce": lambda z1, z2: nce(z1[:, 0], z1 @ FIXED.T, z1.new_tensor(2.0), 50, 0.3),
}
FIXED = torch.linspace(-1, 1, 4 * DIM, dtype=torch.float64).view(4, DIM)  # rows of a bank, the same on all ranks


def values_and_gradients() -> dict[str, Tensor]:
    both = torch.randn(2, ROWS, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mine = both[:, local_rows(ROWS)]
    found = {"log_normalizer": log_normalizer(mine[0, :, 0], mine[0] @ FIXED.T, 50, 0.3)}
    for name, loss in LOSSES.items():
        z1, z2 = mine.clone().requires_grad_()
        value = loss(z1, z2)
        found[name] = all_reduce_mean(value.detach())
        grads = torch.autograd.grad(value, [z1, z2], allow_unused=True)
        found[f"{name}, gradient"] = torch.stack([torch.zeros_like(z1) if grad is None else grad / world_size() for grad in grads])
    return found


def test_two_ranks_equal_one_process(tmp_path):
    alone = values_and_gradients()
    first, second = on_ranks(values_and_gradients, tmp_path / "ranks")
    for name, value in alone.items():
        if name.endswith("gradient"):
            together = torch.cat([first[name], second[name]], 1)
            assert value.abs().max() > 1e-3, f"{name} is empty"
        else:
            together = first[name]
            assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(together, value, rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")
