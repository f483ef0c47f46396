"""How large an encoder's last feature map is."""

from __future__ import annotations

import torch

from ssl_pipelines.networks.encoder import Encoder


@torch.no_grad()
def map_shape(encoder: Encoder, image_size: int) -> tuple[int, int]:
    """(D, h) of the last map (B, D, h, h) for square images of `image_size` px. Leaves the encoder as it was."""
    training = encoder.training
    shape = encoder.eval().map(torch.zeros(1, encoder.in_channels, image_size, image_size, device=encoder.mean.device)).shape
    encoder.train(training)
    return int(shape[1]), int(shape[2])
