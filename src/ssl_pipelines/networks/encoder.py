"""The interface of every encoder: images in [0, 1] to a representation, a map, or the features of all stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """images (B, C, H, W) in [0, 1] -> (B, D). The data set's channel statistics are buffers, so weights travel with them.
    Shapes are read by `x.shape[0]`: `len(x)` would tie an exported graph to the batch that it was made with."""

    dim: int
    in_channels: int
    pooling: str = "average"
    mean: Tensor
    std: Tensor

    def __init__(self, in_channels: int, dim: int):
        super().__init__()
        self.in_channels, self.dim = in_channels, dim
        self.register_buffer("mean", torch.full((in_channels, 1, 1), 0.5))
        self.register_buffer("std", torch.full((in_channels, 1, 1), 0.25))

    def set_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Channel statistics of the pixels in [0, 1]. A channel narrower than 1e-3 counts as 1e-3 wide."""
        self.mean.copy_(torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.std.copy_(torch.tensor(std, dtype=torch.float32).clamp(min=1e-3).view(-1, 1, 1))

    def normalize(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same with mean 0 and standard deviation 1 per channel over the data set."""
        return (images - self.mean) / self.std

    def check_sizes(self, sizes: Iterable[int | None]) -> None:
        """Raises InputError for a view size in px that it cannot take beside its own."""

    @abstractmethod
    def map(self, images: Tensor) -> Tensor:
        """-> (B, D, h, w), the last feature map."""

    @torch.no_grad()
    def map_side(self, image_size: int) -> int:
        """h = w of `map` for square images."""
        was_training = self.training
        side = self.eval().map(torch.zeros(1, self.in_channels, image_size, image_size)).shape[2]
        self.train(was_training)
        return side

    @abstractmethod
    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        """-> {name: (B, D_s)}, pooled features of every stage, shallow to deep."""

    def forward(self, images: Tensor) -> Tensor:
        return self.map(images).mean((2, 3))
