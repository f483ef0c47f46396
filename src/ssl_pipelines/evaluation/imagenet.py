"""Features of the store's images by a timm model with published ImageNet weights, for comparison."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.data import Store

log = logging.getLogger("ssl_pipelines")
BATCH = 64


class Unavailable(Exception):
    """The weights, or images that fit them, cannot be had; the reason in one line."""


def check_name(name: str) -> None:
    """Raises InputError for a name that timm has no weights for. Before work."""
    if not timm.is_model(name):
        raise unknown("few_labels.timm", name, ["any name of timm.list_pretrained()"])
    if not timm.models.is_model_pretrained(name):
        raise InputError(
            f"few_labels.timm={name!r} is refused: timm has no weights for it; allowed are those of timm.list_pretrained()"
        )


def load_pretrained(name: str, size: int, channels: int) -> tuple[nn.Module, dict[str, Any]]:
    """The model without its classifier, in evaluation mode, and what it expects of images. Raises Unavailable."""
    if channels not in (1, 3):
        raise Unavailable(f"{name} takes gray or color images, and these have {channels} channels")
    options: list[dict[str, Any]] = [{"img_size": size}, {}]  # transformers take their image size as an option
    for option in options:
        try:
            model = timm.create_model(name, pretrained=True, num_classes=0, **option)
            return model.eval(), dict(model.pretrained_cfg)
        except TypeError:
            continue
        except Exception as error:  # without a network a hub client raises exceptions of many kinds, which share no base
            raise Unavailable(
                f"weights of {name} are neither cached nor can they be downloaded ({type(error).__name__})"
            ) from error
    raise Unavailable(f"{name} cannot be built for images of {size} px")


@torch.no_grad()
def pretrained_features(
    model: nn.Module, expects: dict[str, Any], store: Store, ids: NDArray[np.int64], size: int, device: torch.device
) -> NDArray[np.float32]:
    """(n, D) of the images, enlarged or shrunk to `size` px (bicubic, antialiased); gray ones as three equal channels."""
    mean, std = (torch.tensor(expects[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std"))
    model, parts = model.to(device), []
    for start in range(0, len(ids), BATCH):
        images = torch.from_numpy(store.gather(ids[start : start + BATCH]).fields["image"]).to(device)
        x = images.permute(0, 3, 1, 2).float().div(255).expand(-1, 3, -1, -1)
        x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        parts.append(model((x - mean) / std).float().cpu().numpy())
    return np.concatenate(parts)
