"""Batch normalization over the global batch, on any device. `nn.SyncBatchNorm` refuses CPU tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import all_reduce_mean, world_size


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of (B, C), (B, C, L) or (B, C, H, W). On one rank it is torch's own; on several, the statistics are the global batch's.

    With `groups` above 1 (see `split_norms`) each of so many stretches of the global batch has statistics of its own while training."""

    groups: int = 1

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input.dim() not in (2, 3, 4):
            raise ValueError(f"expected 2, 3 or 4 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's own name
        if self.groups > 1 and self.training:
            return self._by_group(input)
        if world_size() == 1 or not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        mean = all_reduce_mean(x.mean(axes))
        var = all_reduce_mean((x - mean.view(shape)).square().mean(axes))  # biased, as in the forward pass of torch
        self._follow(mean.detach(), var.detach(), input.numel() // input.shape[1] * world_size())
        x = (x - mean.view(shape)) * torch.rsqrt(var.view(shape) + self.eps)
        if self.affine:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)

    def _by_group(self, x: Tensor) -> Tensor:
        here = self.groups // world_size()
        assert here * world_size() == self.groups, (self.groups, world_size())
        assert len(x) % here == 0, (len(x), here)
        exact = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
        outputs, means, variances = [], [], []
        for part in x.chunk(here):
            mean, var = x.new_zeros(2, x.shape[1], dtype=exact).unbind()  # with momentum 1 they become the part's own
            outputs.append(F.batch_norm(part, mean, var, self.weight, self.bias, True, 1.0, self.eps))
            means.append(mean)
            variances.append(var)
        self._move(all_reduce_mean(torch.stack(means).mean(0)), all_reduce_mean(torch.stack(variances).mean(0)))
        return torch.cat(outputs)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor, count: int) -> None:
        self._move(mean, var * count / max(count - 1, 1))

    def _move(self, mean: Tensor, unbiased_var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(unbiased_var, rate)


class Affine(nn.Module):
    """(B, C, H, W) -> a scale and an offset for each channel, in place of a norm where no statistics may be used."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


def layer_norm(channels: int) -> nn.GroupNorm:
    """Over all channels and places of each image: no image sees another."""
    return nn.GroupNorm(1, channels)


NORMS: dict[str, Callable[[int], nn.Module]] = {"auto": BatchNorm, "batch": BatchNorm, "layer": layer_norm, "none": Affine}


def split_norms(module: nn.Module, groups: int) -> None:
    """Gives every batch norm in `module` that number of groups; the statistics of a device's share, on any number of devices.

    Together with a shuffled batch this is MoCo's shuffling batch norm (He et al. 2020, section 3.3): shuffling alone changes nothing
    where one statistic covers the batch. Raises InputError where a group would lie on several ranks."""
    if groups > 1 and groups % world_size():
        raise InputError(f"groups={groups} of batch norm: allowed are multiples of runtime.devices={world_size()}")
    for part in module.modules():
        if isinstance(part, BatchNorm):
            part.groups = groups
