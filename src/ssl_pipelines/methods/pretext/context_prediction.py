"""Context prediction: where does the second patch lie, seen from the first? Doersch et al., ICCV 2015, arXiv:1505.05192.

A 3 x 3 grid of patches with gaps and jitter; each passes one trunk, and every ordered pair of neighbors is told apart into eight
directions from both features, joined in their order. Against chromatic aberration each patch keeps one random channel of its own
(`color="drop"`, the authors' code), or images lose their green-magenta axis ("project"); a third of the patches are pixelated, all
are brought to mean 0 and one mean square.
Differs: a quarter of the view a patch (8 px of 32), gaps and jitter in proportion; the trunk is the run's encoder with at most 4 px a
place, so that a patch leaves a map; heads are narrower, with batch norm in both hidden layers, scaled and shifted (the authors' is
neither). One grid an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import local_rows, world_size
from ssl_pipelines.losses.precision import full_precision
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.flat_map import flat_map_dim
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.views.aberration import keep_one_channel, without_green_magenta
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.montage import stitch
from ssl_pipelines.views.neighbors import DIRECTIONS, neighbors
from ssl_pipelines.views.patch_levels import centered, unit_rms
from ssl_pipelines.views.patch_places import grid_extent, roaming_corners
from ssl_pipelines.views.patches import cut_patches
from ssl_pipelines.views.pixelate import draw_sides, pixelated, pixelation_matrices
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

GRID, CENTER = 3, 4  # patches a side, the middle one


def fitted(side: int, patch: int | None, gap: int | None, jitter: int | None) -> tuple[int, int, int]:
    """Patch, gap and jitter in px for views of `side` px. The paper has 96, 48 and 7 where 3 patches and 2 gaps fill the image."""
    patch = patch or max(2, side // 8 * 2)
    room = side - GRID * patch
    if jitter is None:  # so small that neighbors never overlap
        jitter = max(0, min(max(1, round(patch * 7 / 96)), (room // 2 - 1) // 3 if gap is None else (gap - 1) // 2))
    return patch, room // 2 - jitter if gap is None else gap, jitter


class ContextPrediction(Method):
    class Config(MethodConfig):
        name: Literal["context_prediction"] = "context_prediction"
        views: ViewPlan = one_view(ViewRecipe(scale=(1 / 3, 1.0), ratio=(1.0, 1.0), flip=0.0))  # 150,000 to 450,000 px an image
        patch: int | None = Field(default=None, ge=2, le=512)
        """Side of a patch in px; null is a quarter of the view."""
        gap: int | None = Field(default=None, ge=0, le=512)
        """Distance between patches in px; null is what the view leaves. Larger gaps keep edges from running through."""
        jitter: int | None = Field(default=None, ge=0, le=128)
        """Largest shift of a patch in px, to all sides; null is in proportion to the paper's 7 px for patches of 96."""
        color: Literal["drop", "project", "none"] = "drop"
        """How chromatic aberration is hidden: `drop` keeps one random channel of each patch, `project` removes the green-magenta
        axis, `none` shows all colors."""
        pixelated: float = Field(default=0.33, ge=0, le=1)
        """Share of the patches that are shown at a lower resolution, which hides their camera's sharpness."""
        hidden_dim: int = Field(default=256, ge=8, le=8192)
        """Width of the layers fc6, fc7 and fc8. The paper takes 4096."""

        @model_validator(mode="after")
        def _patches_lie_apart(self) -> Self:
            if self.gap is not None and self.jitter is not None and self.gap < 2 * self.jitter:
                raise ValueError(
                    f"jitter={self.jitter} with gap={self.gap}: patches would overlap; allowed is up to {self.gap // 2}"
                )
            return self

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.color == "project" and channels != 3:
                raise InputError(
                    f"methods.{self.name}.color='project' needs color images, these have {channels} channel(s). Allowed: drop, none"
                )

    config: Config
    pairs: Tensor
    labels: Tensor
    matrices: Tensor
    compares_within_batch = False
    judged_at = "best"
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=4),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=0.0),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.patch, self.gap, self.jitter = fitted(parts.image_size, config.patch, config.gap, config.jitter)
        self.cell, self.stride = self.patch + 2 * self.jitter, self.patch + self.gap
        if self.gap < 2 * self.jitter or grid_extent(GRID, self.cell, self.stride) > parts.image_size:
            found = f"methods.context_prediction: patch={self.patch}, gap={self.gap}, jitter={self.jitter}"
            raise InputError(f"{found} do not fit views of {parts.image_size} px without overlap; 3 patch + 2 gap + 2 jitter must")
        self.encoder, h = parts.build_encoder(), config.hidden_dim
        into = flat_map_dim(self.encoder, self.patch)
        self.projection = nn.Sequential(nn.Linear(into, h, bias=False), BatchNorm(h), nn.ReLU(inplace=True))  # fc6
        self.classifier = mlp([2 * h, h, h, len(DIRECTIONS)], last_norm=False)
        pairs, labels = neighbors(GRID)
        self.register_buffer("pairs", pairs, persistent=False)
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("matrices", pixelation_matrices(self.patch), persistent=False)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        _, prepared = self.patches(batch.views["global"][0])
        logits = self.directions(prepared).flatten(0, 1)  # (B K, 8)
        labels = self.labels.repeat(len(prepared))
        return Output(F.cross_entropy(logits, labels), metrics={"accuracy": (logits.argmax(1) == labels).float().mean()})

    # Half precision would leave a trace of the colors that the guards remove, and the network could solve the task by it.
    @full_precision
    def patches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) -> (B, 9, C, P, P) as they are, and as the trunk sees them: mean 0, mean square 1."""
        random = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        total, count, device = len(images) * world_size(), GRID * GRID, images.device
        mine, channels = local_rows(total), images.shape[1]
        corners = roaming_corners(total, GRID, self.cell, self.patch, images.shape[-1], random, stride=self.stride)[mine]
        sides = draw_sides(total * count, self.patch, self.config.pixelated, random).view(total, count)[mine]
        kept = torch.randint(channels, (total, count), generator=random)[mine]
        noise = torch.rand(total, count, channels, self.patch, self.patch, generator=random)[mine]
        cut = cut_patches(images, to_device(corners, device), self.patch)  # (B, 9, C, P, P)
        seen = without_green_magenta(cut) if self.config.color == "project" else cut
        seen = pixelated(seen.flatten(0, 1), to_device(sides.flatten(), device), self.matrices).view_as(cut)
        seen = centered(seen)
        if self.config.color == "drop":
            seen = keep_one_channel(seen, to_device(kept, device), (to_device(noise, device) - 0.5) / 255)
        return cut, unit_rms(seen)

    def features(self, prepared: Tensor) -> Tensor:
        """(B, 9, C, P, P) -> (B, 9, H)."""
        as_pixels = prepared * self.encoder.std + self.encoder.mean  # the encoder's own normalization undoes this
        found: Tensor = self.projection(self.encoder.map(as_pixels.flatten(0, 1)).flatten(1))
        return found.unflatten(0, prepared.shape[:2])

    def directions(self, prepared: Tensor) -> Tensor:
        """(B, 9, C, P, P) -> logits (B, K, 8) of all ordered pairs of neighbors."""
        both = self.features(prepared)[:, self.pairs].flatten(2)  # (B, K, 2 H), the first patch's before the second's
        logits: Tensor = self.classifier(both.flatten(0, 1))
        return logits.unflatten(0, both.shape[:2])

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """A row an image: the grid, what the trunk sees, and at each of eight places the patch that is most believed to lie there."""
        cut, prepared = self.patches(batch.views["global"][0][:8])
        around = self.pairs[:, 0] == CENTER
        p = self.directions(prepared)[:, around].softmax(2)  # (n, 8 neighbors, 8 places)
        chosen = self.pairs[around, 1][p.argmax(1)]  # (n, 8 places): which patch
        order = torch.cat([chosen[:, :CENTER], torch.full_like(chosen[:, :1], CENTER), chosen[:, CENTER:]], dim=1)
        placed = cut.gather(1, order.view(*order.shape, 1, 1, 1).expand_as(cut))
        seen = (prepared / 6 + 0.5).clamp(0, 1)
        return {"directions": torch.stack([stitch(x, 1) for x in (cut, seen, placed)], 1).flatten(0, 1)}
