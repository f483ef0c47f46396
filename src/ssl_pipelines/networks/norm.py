"""Batch normalization over the global batch, on any device. `nn.SyncBatchNorm` refuses CPU tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_pipelines.distributed import all_reduce_mean, world_size


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of (B, C), (B, C, L) or (B, C, H, W). On one rank it is torch's own; on several, the statistics are the global batch's."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input.dim() not in (2, 3, 4):
            raise ValueError(f"expected 2, 3 or 4 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's own name
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

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(var * count / max(count - 1, 1), rate)
