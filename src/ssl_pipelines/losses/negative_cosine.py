"""The negative cosine of a prediction and a target that no gradient enters."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


@full_precision
def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """-mean_b <p_b, z_b> / (|p_b| |z_b|).   p, z: (B, D) -> () in [-1, 1]; no gradient enters z; a zero row counts 0.

    Chen & He 2021, arXiv:2011.10566, eq. 1 with the stop-gradient of eq. 3. Of unit rows, |p - z|^2 = 2 + 2 times it."""
    return -F.cosine_similarity(p, z.detach(), dim=1).mean()
