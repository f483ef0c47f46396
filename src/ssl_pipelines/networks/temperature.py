"""A temperature that is trained with the network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LearntTemperature(nn.Module):
    """() log_scale = log(1 / temperature), one trained number. Radford et al. 2021 (CLIP), arXiv:2103.00020, section 2.5."""

    def __init__(self, start: float, max_scale: float):
        super().__init__()
        self.bound = math.log(max_scale)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(start)))
        self.clamp()

    @torch.no_grad()
    def clamp(self) -> None:
        """After each step: the number itself is held below its bound, so that it keeps its gradient there."""
        self.log_scale.clamp_(max=self.bound)

    def forward(self) -> Tensor:
        """-> () the log of the scale."""
        return self.log_scale
