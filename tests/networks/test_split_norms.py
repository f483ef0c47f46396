"""Batch norms that see a device's share, on one device too. He et al. 2020 (MoCo), section 3.3, and the authors' CIFAR demo."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from small_runs import on_ranks
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import average_gradients, local_rows, world_size
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.norm import BatchNorm, split_norms

SHAPES = [(16, 5), (16, 5, 3), (16, 5, 3, 2)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm(groups: int) -> nn.Module:
    made = BatchNorm(5).double()
    with torch.no_grad():
        made.weight.copy_(draw(5, seed=8))
        made.bias.copy_(draw(5, seed=9))
    split_norms(made, groups)
    return made


def network(groups: int) -> nn.Module:
    torch.manual_seed(0)
    encoder = build_encoder(BackboneConfig(name="resnet_small", width=0.25), 3, 16).double().train()
    split_norms(encoder, groups)
    return encoder


def test_one_group_does_not_feel_a_permutation_of_the_batch_and_several_do():
    """Why shuffling alone is nothing on one device."""
    images, order = torch.rand(16, 3, 16, 16, dtype=torch.float64), torch.randperm(16)
    with torch.no_grad():
        one, several = network(1), network(4)
        torch.testing.assert_close(one(images[order]), one(images)[order], rtol=1e-9, atol=1e-9)
        assert (several(images[order]) - several(images)[order]).abs().max() > 1e-2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [2, 4, 8])
def test_a_group_is_torchs_batch_norm_on_its_stretch(shape, groups):
    ours, x = norm(groups), (3 * draw(*shape) + 1).requires_grad_()
    weights = draw(*shape, seed=2)
    found = ours(x)
    gradient = torch.autograd.grad((found.square() * weights).sum(), [x, ours.weight, ours.bias])
    for k in range(groups):
        rows = slice(k * 16 // groups, (k + 1) * 16 // groups)
        part = x.detach()[rows].clone().requires_grad_()
        theirs = nn.functional.batch_norm(part, None, None, ours.weight, ours.bias, training=True)
        torch.testing.assert_close(found[rows], theirs, rtol=1e-10, atol=1e-12)
        (its,) = torch.autograd.grad((theirs.square() * weights[rows]).sum(), part)
        torch.testing.assert_close(gradient[0][rows], its, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_the_mean_over_groups(momentum):
    ours = BatchNorm(5, momentum=momentum).double()
    split_norms(ours, 4)
    mean, var = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    for step in range(3):
        x = draw(16, 5, 3, seed=step)
        ours(x)
        parts = torch.stack([group.transpose(0, 1).flatten(1) for group in x.split(4)])  # (4, 5, 12)
        rate = momentum or 1 / (step + 1)
        mean = (1 - rate) * mean + rate * parts.mean(2).mean(0)
        var = (1 - rate) * var + rate * parts.var(2, unbiased=True).mean(0)
    torch.testing.assert_close(ours.running_mean, mean)
    torch.testing.assert_close(ours.running_var, var)
    assert int(ours.num_batches_tracked) == 3


def test_evaluation_knows_no_groups():
    ours, plain = norm(4), norm(1)
    ours(draw(16, 5))
    plain.load_state_dict(ours.state_dict())
    x = draw(6, 5, seed=3)  # four groups would not fit
    assert torch.equal(ours.eval()(x), plain.eval()(x))


def test_half_precision_keeps_statistics_in_float32():
    ours = BatchNorm(5)
    split_norms(ours, 2)
    x = draw(64, 5, 4, 4).float()
    low = ours(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert ours.running_mean.dtype == torch.float32
    expected = torch.cat([nn.functional.batch_norm(part, None, None, training=True) for part in x.chunk(2)])
    assert (low.float() - expected).abs().max() < 0.05


def test_groups_that_do_not_fit_the_batch_are_refused():
    with pytest.raises(AssertionError):
        norm(3)(draw(16, 5))


def stepped(groups: int) -> dict[str, torch.Tensor]:
    """Output, gradients and statistics of one training step of a split norm in a small network."""
    torch.manual_seed(0)
    parts = nn.Sequential(nn.Linear(5, 5, bias=False), norm(groups), nn.ReLU(), nn.Linear(5, 3)).double()
    x = draw(16, 5, seed=4)[local_rows(16)].clone().requires_grad_()
    out = parts(x)
    (out.square() * draw(16, 3, seed=5)[local_rows(16)]).mean().backward()
    average_gradients(parts.parameters())
    found = {f"gradient/{key}": value.grad for key, value in parts.named_parameters()}
    buffers = dict(parts.named_buffers())
    return found | buffers | {"rows/out": out.detach(), "rows/x": x.grad / world_size()}


def both() -> dict[str, torch.Tensor]:
    refused = torch.tensor(False)
    if world_size() > 1:
        try:
            split_norms(BatchNorm(5), 3)
        except InputError:
            refused = torch.tensor(True)
    return {f"{groups}/{key}": value for groups in (2, 4) for key, value in stepped(groups).items()} | {"refused": refused}


def test_two_ranks_with_two_or_four_groups_are_one_process_and_three_are_refused(tmp_path):
    alone, ranks = both(), on_ranks(both, tmp_path / "ranks")
    assert all(bool(found.pop("refused")) for found in ranks)
    del alone["refused"]
    for key, value in alone.items():
        if "/rows/" in key:
            torch.testing.assert_close(torch.cat([found[key] for found in ranks]), value, rtol=1e-10, atol=1e-12)
        else:
            for found in ranks:
                torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-12, msg=lambda text, key=key: f"{key}: {text}")
