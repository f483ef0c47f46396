"""Stochastic depth: while training, a residual branch is left out for some of the images."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_pipelines.distributed import rand_rows


class DropPath(nn.Module):
    """(B, ...) -> x / (1 - rate) for an image that keeps the branch, 0 for one that does not. Huang et al. 2016, arXiv:1603.09382.

    Drawn for the global batch, so that several ranks leave out what one process would have left out."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        kept = rand_rows(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * kept.to(x.dtype) / (1 - self.rate)


def own_drop_path(block: nn.Module, rate: float) -> None:
    """Gives one of timm's transformer blocks our drop path on both of its branches."""
    if rate:
        block.drop_path1, block.drop_path2 = DropPath(rate), DropPath(rate)
