"""The last map of a small patch, flattened, so that positions within the patch stay readable."""

from __future__ import annotations

import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder


@torch.no_grad()
def flat_map_dim(encoder: Encoder, size: int) -> int:
    """D h w of `encoder.map` for squares of `size` px. Raises InputError, one line, for an encoder that cannot take them."""
    encoder.check_sizes([size])
    was_training = encoder.training
    try:
        found = encoder.eval().map(torch.zeros(1, encoder.in_channels, size, size))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"this encoder takes no patches of {size} px ({reason}); allowed: a ResNet, a ViT whose patches fit"
        ) from error
    encoder.train(was_training)
    return found[0].numel()
