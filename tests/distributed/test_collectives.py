"""Each collective alone: two ranks, one process, and the gradients between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from small_runs import on_ranks
from ssl_pipelines.distributed import all_reduce_mean, average_gradients, gather_rows, local_rows, rand_rows, rank, world_size
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.networks.norm import BatchNorm

ROWS = 6
STEPS = 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mine(seed: int, *shape: int) -> Tensor:
    return draw(ROWS, *shape, seed=seed)[local_rows(ROWS)].clone().requires_grad_()


def pairwise(rows: Tensor, others: Tensor) -> Tensor:
    """Every row looks at every other one, and not symmetrically."""
    return ((rows @ others.T) ** 3 * torch.arange(1, len(others) + 1)).sum(1).mean()


def collectives() -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    x = mine(0, 4)
    found["gathered"] = gather_rows(x).detach()
    found["gathered_gradient"] = torch.autograd.grad(pairwise(x, gather_rows(x)), x)[0] / world_size()
    y = mine(1, 4)
    mean = all_reduce_mean(y.mean(0))
    found["mean"] = mean.detach()
    found["mean_gradient"] = torch.autograd.grad((y * mean.exp()).mean(), y)[0] / world_size()
    torch.manual_seed(11)
    found["drawn"] = torch.cat([rand_rows(ROWS // world_size(), 2, 3).flatten(1), rand_rows(ROWS // world_size())[:, None]], 1)
    z1, z2 = mine(2, 5), mine(3, 5)
    loss = nt_xent(z1, z2, 0.2)
    found["nt_xent"] = all_reduce_mean(loss.detach())
    found["nt_xent_gradient"] = torch.cat(torch.autograd.grad(loss, [z1, z2]), 1) / world_size()
    return found | {"rank": torch.tensor(rank())}


def normed(shape: tuple[int, ...], momentum: float | None) -> dict[str, Tensor]:
    """A few training steps' worth of one batch norm, then its evaluation mode."""
    norm = BatchNorm(shape[0], momentum=momentum).double()
    with torch.no_grad():
        norm.weight.copy_(draw(shape[0], seed=8))
        norm.bias.copy_(draw(shape[0], seed=9))
    for step in range(STEPS):
        x = mine(20 + step, *shape)
        out = norm(3 * x + 1)
    weights = draw(ROWS, *shape, seed=30)[local_rows(ROWS)]
    loss = (out**2 * weights).sum() * world_size() / ROWS  # the mean over ranks is the whole batch's
    loss.backward()
    average_gradients(norm.parameters())
    found = {"out": out.detach(), "input": x.grad / world_size(), "weight": norm.weight.grad, "bias": norm.bias.grad}
    return found | dict(norm.named_buffers()) | {"evaluated": norm.eval()(mine(40, *shape)).detach()}


def bucketed() -> dict[str, Tensor]:
    """Two types, several shapes, and one parameter that has no gradient."""
    parameters = [nn.Parameter(torch.zeros(shape, dtype=kind)) for shape, kind in SHAPES]
    for k, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, float(10 * k + rank())) + torch.arange(parameter.numel()).view_as(parameter)
    unused = nn.Parameter(torch.zeros(3))
    average_gradients([parameters[0], unused, *parameters[1:]])
    assert unused.grad is None
    return {f"{k}": parameter.grad for k, parameter in enumerate(parameters)}


SHAPES = [((2, 3), torch.float32), ((4,), torch.float64), ((), torch.float32), ((1, 2, 2), torch.float64)]
NORMS = [((4,), 0.1), ((4, 3), None), ((4, 3, 2), 0.1)]


def everything() -> dict[str, Tensor]:
    found = {f"collectives/{key}": value for key, value in collectives().items()}
    for shape, momentum in NORMS:
        found |= {f"norm{len(shape)}/{key}": value for key, value in normed(shape, momentum).items()}
    return found | {f"bucket/{key}": value for key, value in bucketed().items()}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_ranks(everything, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone():
    return everything()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_there_were_two_ranks(ranks):
    assert [int(found["collectives/rank"]) for found in ranks] == [0, 1]


def test_gather_gives_every_rank_the_whole_batch_in_rank_order(ranks):
    for found in ranks:
        close(found["collectives/gathered"], draw(ROWS, 4))


@pytest.mark.parametrize("what", ["gathered_gradient", "mean_gradient", "nt_xent_gradient"])
def test_gradients_that_crossed_ranks_are_the_whole_batchs(ranks, alone, what):
    close(torch.cat([found[f"collectives/{what}"] for found in ranks]), alone[f"collectives/{what}"])


@pytest.mark.parametrize("what", ["mean", "nt_xent"])
def test_values_over_ranks_are_the_whole_batchs(ranks, alone, what):
    for found in ranks:
        close(found[f"collectives/{what}"], alone[f"collectives/{what}"])


def test_rows_of_draws_follow_one_global_draw_after_the_other(ranks, alone):
    assert torch.equal(torch.cat([found["collectives/drawn"] for found in ranks]), alone["collectives/drawn"])


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_batch_norm_over_ranks_is_the_whole_batchs(ranks, alone, dims):
    for key in ("out", "input", "evaluated"):
        close(torch.cat([found[f"norm{dims}/{key}"] for found in ranks]), alone[f"norm{dims}/{key}"])
    for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        for found in ranks:
            close(found[f"norm{dims}/{key}"], alone[f"norm{dims}/{key}"])
    assert int(alone[f"norm{dims}/num_batches_tracked"]) == STEPS


def test_gradients_are_averaged_bucket_by_bucket(ranks):
    for found in ranks:
        for k, (shape, kind) in enumerate(SHAPES):
            size = torch.zeros(shape).numel()
            close(found[f"bucket/{k}"], torch.tensor([10 * k + 0.5 + i for i in range(size)], dtype=kind).view(shape))
