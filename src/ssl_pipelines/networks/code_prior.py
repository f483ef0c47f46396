"""An autoregressive distribution of maps of codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.context import RowContext


class CodePrior(nn.Module):
    """p(k) = prod_t p(k_t | codes before t in raster order); codes (B, h, w) int64 -> logits (B, K, h, w), those at t from codes before t.

    The rows above enter whole, shifted one row down, and the row itself from the left: shifted and one-sidedly padded convolutions look
    where masked ones would (Salimans et al. 2017, arXiv:1701.05517), without a blind spot (van den Oord et al. 2016,
    arXiv:1606.05328, section 2.2). `depth` + 1 rows above and 2 `depth` + 1 places to the left are within sight."""

    def __init__(self, num_codes: int, dim: int, depth: int):
        super().__init__()
        self.depth = depth
        self.embed = nn.Embedding(num_codes, dim)
        self.above = RowContext(dim, dim, depth)
        self.mix = nn.Conv2d(2 * dim, dim, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.ZeroPad2d((2, 0, 0, 0)), nn.Conv2d(dim, dim, (1, 3)), nn.ReLU(), nn.Conv2d(dim, dim, 1))
            for _ in range(depth)
        )
        self.head = nn.Conv2d(dim, num_codes, 1)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.embed(codes).movedim(-1, 1)  # (B, D, h, w)
        above = F.pad(self.above(x), (0, 0, 1, 0))[:, :, :-1]  # row r of rows up to r - 1
        return self.along(above, x)

    def along(self, above: Tensor, x: Tensor) -> Tensor:
        """Features of the rows above and the embedded codes, (B, D, h, w) each, of any rows -> logits (B, K, h, w): each row for
        itself."""
        left = F.pad(x, (1, 0))[..., :-1]  # column c of column c - 1
        x = self.mix(torch.cat([above, left], dim=1))
        for block in self.blocks:
            x = x + block(x)
        logits: Tensor = self.head(x.relu())
        return logits

    @torch.no_grad()
    def sample(self, count: int, height: int, width: int) -> Tensor:
        """-> (count, height, width) int64, place by place, by torch's global generator. The rows above are encoded once for each
        row."""
        codes = torch.zeros(count, height, width, dtype=torch.int64, device=self.embed.weight.device)
        for row in range(height):
            seen = self.embed(codes[:, max(0, row - 1 - self.depth) : row + 1]).movedim(-1, 1)  # all that is within sight
            above = F.pad(self.above(seen), (0, 0, 1, 0))[:, :, -2:-1]
            for column in range(width):
                here = self.embed(codes[:, row : row + 1]).movedim(-1, 1)
                logits = self.along(above, here)[:, :, 0, column].float()
                codes[:, row, column] = torch.multinomial(logits.softmax(1), 1).squeeze(1)
        return codes
