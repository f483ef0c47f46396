"""A codebook: every place of a map becomes its nearest code. Codes follow the places that chose them, or are learnt by a loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.algorithms.kmeans import nearest_centroid
from ssl_pipelines.distributed import gather_rows

NUDGE = 1e-4  # relative
EPS = 1e-5  # of Laplace's smoothing of the counts, as in the authors' sonnet layer


class VectorQuantizer(nn.Module):
    """K codes of D numbers. van den Oord et al. 2017 (VQ-VAE), arXiv:1711.00937.

    `decay` g: the codes are buffers, the ratio of two moving averages n_k <- g n_k + (1 - g) count_k and m_k <- g m_k + (1 - g) sum_k z
    (appendix A.1), both from 0, so that their ratio needs no correction for its start. `decay=None`: the codes are parameters, for
    the codebook's term of eq. 3. `revive_below`: a code with less than this share of the mean use starts anew from a random place of the
    batch. In the first step that is every code which nobody chose, so the codebook begins as a sample of the data. Not in the
    paper: Dhariwal et al. 2020 (Jukebox), arXiv:2005.00341, section 3.1."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, num_codes: int, dim: int, *, decay: float | None, revive_below: float):
        super().__init__()
        self.decay, self.revive_below = decay, revive_below
        codes = torch.empty(num_codes, dim).uniform_(-1, 1) / num_codes
        if decay is None:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
            self.register_buffer("counts", torch.zeros(num_codes))  # n
            self.register_buffer("sums", torch.zeros(num_codes, dim))  # m

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, h, w) int64. In full precision: distances by expansion in half of it may come out negative."""
        with torch.autocast(z.device.type, enabled=False):
            rows = z.movedim(1, -1).flatten(0, -2).to(self.codes.dtype)
            return nearest_centroid(rows, self.codes).view(z.shape[0], *z.shape[2:])

    def look_up(self, indices: Tensor) -> Tensor:
        """(B, h, w) -> (B, D, h, w)."""
        return F.embedding(indices, self.codes).movedim(-1, 1)

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor) -> None:
        """One step of the moving averages with the places z (N, D) of this rank and the codes (N,) that they chose."""
        assert self.decay is not None
        z, indices = gather_rows(z).to(self.codes), gather_rows(indices)
        chosen = torch.zeros_like(self.counts).index_add_(0, indices, torch.ones_like(z[:, 0]))
        self.counts.lerp_(chosen, 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, indices, z), 1 - self.decay)
        total = self.counts.sum()
        smoothed = (self.counts + EPS) / (total + len(self.codes) * EPS) * total
        self.codes.copy_(torch.where(self.counts.unsqueeze(1) > 0, self.sums / smoothed.unsqueeze(1), self.codes))
        self._revive(z)

    def _revive(self, z: Tensor) -> None:
        usual = self.counts.mean()
        [dead] = (self.counts < self.revive_below * usual).nonzero(as_tuple=True)
        # Drawn on the CPU, which is seeded alike on all ranks. The nudge keeps codes apart that start from equal places.
        drawn = torch.randperm(len(z))[torch.arange(len(dead)) % len(z)].to(z.device)
        fresh = z[drawn] * (1 + NUDGE * torch.randn(len(dead), z.shape[1]).to(z))
        self.codes[dead] = fresh
        self.counts[dead] = usual
        self.sums[dead] = usual * fresh


def straight_through(z: Tensor, codes: Tensor) -> Tensor:
    """The codes in the forward pass, the gradient of z in the backward pass (section 3.2). None reaches the codes."""
    return z + (codes - z).detach()


def perplexity(indices: Tensor, num_codes: int) -> Tensor:
    """exp of the entropy of the use of codes: 1 where one serves all, K where all serve alike.   any shape -> ()."""
    p = torch.bincount(indices.flatten(), minlength=num_codes).float() / indices.numel()
    return torch.special.entr(p).sum().exp()
