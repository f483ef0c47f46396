"""A convolution block whose hidden places give nothing to their neighbors."""

from __future__ import annotations

from torch import Tensor, nn


class MaskedConvBlock(nn.Module):
    """x + out(conv(keep * into(LN x))), then x + MLP(LN x), channels last: x (B, h, w, D), keep (B, h, w, 1) with 0 where hidden.

    `conv` is depthwise; what enters it is masked, so that hidden places stay 0 to it and no block on the way mixes them in; they
    themselves go on alone. None: nothing is hidden. Gao et al. 2022, arXiv:2205.03892, section 3.2."""

    def __init__(self, dim: int, kernel: int = 5):
        super().__init__()
        assert kernel % 2, kernel
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.into, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        inner = self.into(self.norm1(x))
        if keep is not None:
            inner = inner * keep
        x = x + self.out(self.conv(inner.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return x + self.mlp(self.norm2(x))
