"""Two ranks against one process on the whole batch."""

from __future__ import annotations

import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import all_reduce_mean, average_gradients, gather_rows, local_rows, rand_rows, world_size
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.networks.norm import BatchNorm

WEIGHT = torch.randn(5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def data() -> torch.Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def everything() -> dict[str, torch.Tensor]:
    """A linear layer, a batch norm and a loss across the batch, on this rank's rows."""
    rows = local_rows(8)
    x = data()[rows].requires_grad_()
    weight = torch.nn.Parameter(WEIGHT.clone())
    norm = BatchNorm(4).double()
    z = norm(x @ weight)
    other = norm((x.flip(1)) @ weight)
    loss = nt_xent(z, other, 0.3) + (gather_rows(z) ** 3).mean() + all_reduce_mean(z.exp().mean())
    loss.backward()
    average_gradients([weight, *norm.parameters()])
    torch.manual_seed(4)
    drawn = rand_rows(8 // world_size(), 3)
    return {
        "loss": all_reduce_mean(loss.detach()),
        "weight": weight.grad,
        "norm": norm.weight.grad,
        "running_var": norm.running_var,
        "running_mean": norm.running_mean,
        "input": x.grad / world_size(),
        "drawn": drawn,
    }


def test_two_ranks_are_one_process_on_the_whole_batch(tmp_path):
    alone = everything()
    ranks = on_ranks(everything, tmp_path / "ranks")
    for found in ranks:
        for key in ("loss", "weight", "norm", "running_var", "running_mean"):
            torch.testing.assert_close(found[key], alone[key], rtol=1e-9, atol=1e-10, msg=key)
    torch.testing.assert_close(torch.cat([found["input"] for found in ranks]), alone["input"], rtol=1e-9, atol=1e-10)
    assert torch.equal(torch.cat([found["drawn"] for found in ranks]), alone["drawn"])


def test_on_one_rank_everything_is_the_identity():
    x = data()
    assert gather_rows(x) is x
    assert all_reduce_mean(x) is x
    assert local_rows(8) == slice(0, 8)
