"""Images of the store, transformed in one way, through a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Method
from ssl_pipelines.views.engine import make_views
from ssl_pipelines.views.plain import plain_view
from ssl_pipelines.views.plan import ViewGroup, ViewPlan, ViewRecipe

BATCH = 256  # images
AS_IT_IS = ViewRecipe(crop="none", flip=0.0)
Embed = Callable[[Tensor], Tensor]  # (B, C, S, S) in [0, 1] -> (B, D)


@dataclass(frozen=True, slots=True)
class Transform:
    """One augmentation on its own, applied to every image."""

    recipe: ViewRecipe
    said: str
    color_only: bool = False

    def fits(self, channels: int) -> bool:
        return channels == 3 or not self.color_only


def _alone(said: str, *, color_only: bool = False, **changes: object) -> Transform:
    return Transform(AS_IT_IS.model_copy(update=changes), said, color_only)


# Strengths of SimCLR for small images, of which each is a part (Chen et al. 2020, arXiv:2002.05709, appendix A and B.9).
TRANSFORMS: Mapping[str, Transform] = {
    "crop": _alone("a random crop of 8 to 100 % of its area", crop="resized"),
    "flip": _alone("a horizontal flip", flip=1.0),
    "color_jitter": _alone(
        "color jitter (brightness, contrast, saturation 0.4, hue 0.1)",
        jitter=1.0,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
    ),
    "grayscale": _alone("the loss of color", color_only=True, grayscale=1.0),
    "blur": _alone("a Gaussian blur of sigma 0.1 to 2 pixels", blur=1.0),
    "rotation": _alone("a rotation of up to 30 degrees either way", rotation=30.0),
    "noise": _alone("Gaussian noise of standard deviation 0.1", noise=1.0, noise_std=0.1),
}


@torch.no_grad()
def embed_all(
    embed: Embed, store: Store, ids: NDArray, size: int, device: torch.device, seed: int, name: str, recipe: ViewRecipe
) -> Tensor:
    """(n, D) float32 on the CPU: of one view of each image, at `size` px, drawn by (seed, name)."""
    rows = []
    group = f"diagnose/{name}"
    plan = ViewPlan(size=size, groups={group: ViewGroup(recipe=recipe)}).resolved(size)
    for step, start in enumerate(range(0, len(ids), BATCH)):
        part = ids[start : start + BATCH]
        images = torch.from_numpy(store.gather(part).fields["image"]).to(device)
        if recipe == AS_IT_IS:
            seen = plain_view(images, size)
        else:
            made = make_views(images, torch.from_numpy(part), plan, seed, step, slice(0, len(part)), len(part))
            seen = made.views[group][0]
        rows.append(embed(seen).float().cpu())
    return torch.cat(rows)


def training_recipes(method: Method) -> list[ViewRecipe]:
    """Those that the method's views are drawn by, in turn: of full size where it has such, else all. Backgrounds stay as they are."""
    plan = method.config.views
    own = [group for group in plan.groups.values() if group.same_as is None and group.swap_of is None]
    full = [group for group in own if group.size == plan.size] or own
    return [group.recipe for group in full for _ in range(group.count)]
