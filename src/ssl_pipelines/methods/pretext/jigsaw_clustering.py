"""Jigsaw clustering: crops of all images are shuffled into montages; which crops belong together? Chen et al., CVPR 2021, arXiv:2104.00323.

Each image gives four overlapping crops, one a corner, augmented each; all 4 B of the (cross-device) batch are shuffled and stitched 2 x 2
into B montages, so one pass of B images sees them all. The last map, averaged to 2 x 2, is a vector a patch: these are clustered by image
(supervised contrast, T = 0.3 of the published command) and told from which corner they come. What is evaluated is the pooled feature of a
plain image.
Differs: patches of 16 px of crops of 26 where images have 32, with SimCLR's colors for small images (no blur) and at least 40% of a crop;
the map is the coarsest of 4 x 4 places or more, 8 px a place at 32 px and the paper's 7 x 7 places at 224 px; the learning rate is twice
the paper's an image. The authors' code multiplies the clustering term by T / 0.07, the paper does not: `clustering_weight`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import gather_rows, local_rows, world_size
from ssl_pipelines.losses.supervised_contrast import supervised_contrast
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.engine import render
from ssl_pipelines.views.montage import stitch
from ssl_pipelines.views.patches import cut_patches
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, ViewRecipe, one_view

CORNERS = 4  # top left, top right, bottom left, bottom right


class JigsawClustering(Method):
    class Config(MethodConfig):
        name: Literal["jigsaw_clustering"] = "jigsaw_clustering"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.0))
        patch_recipe: ViewRecipe = SIMCLR_SMALL.model_copy(update={"scale": (0.4, 1.0)})
        """Random transforms of each of an image's four crops by itself."""
        cross_ratio: float = Field(default=0.3, ge=0, le=0.5)
        """Share of the image's side by which a crop reaches beyond its quarter, so that crops overlap. The paper takes 0.3."""
        temperature: float = Field(default=0.3, gt=0, le=10)
        """Temperature of the clustering term. The published command takes 0.3."""
        clustering_weight: float = Field(default=1.0, ge=0, le=100)
        """Weight of telling which patches come from one image."""
        location_weight: float = Field(default=1.0, ge=0, le=100)
        """Weight of telling from which corner a patch comes."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the vectors that are clustered. The paper takes 128."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if batch_size < 2:
                raise InputError(
                    f"pretrain.batch_size={batch_size}: patches are clustered by image, so two images or more are needed"
                )

    config: Config
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=8),
        optimizer=OptimizerConfig(name="sgd", lr=0.06, weight_decay=1e-4),
        batch_size=128,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.side, self.patch = round((0.5 + config.cross_ratio) * parts.image_size), parts.image_size // 2  # px
        if parts.image_size % 2:
            raise InputError(
                f"methods.jigsaw_clustering.views.size={parts.image_size}: a montage of 2 x 2 patches needs an even number"
            )
        self.encoder = parts.build_encoder()
        self.map_side = self.encoder.map_side(parts.image_size)
        if self.map_side < 2:
            raise InputError(
                f"method='jigsaw_clustering' needs a map of 2x2 or more, views of {parts.image_size} px leave {self.map_side}x"
                f"{self.map_side}; give a smaller backbone.output_stride or a larger methods.jigsaw_clustering.views.size"
            )
        d = self.encoder.dim
        self.projector = nn.Sequential(nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, config.projection_dim))
        self.locator = nn.Linear(d, CORNERS)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        patches, origin = self.shuffled(batch.views["global"][0])
        features = self.decoupled(stitch(patches))  # (4 B, D)
        image, corner = origin // CORNERS, origin % CORNERS
        clustering = supervised_contrast(self.projector(features), image, self.config.temperature)
        logits = self.locator(features)  # (4 B, 4)
        location = F.cross_entropy(logits, corner)
        right = (logits.argmax(1) == corner).float().mean()
        metrics = {"clustering_loss": clustering.detach(), "location_loss": location.detach(), "location_accuracy": right}
        return Output(self.config.clustering_weight * clustering + self.config.location_weight * location, metrics)

    def shuffled(self, images: Tensor, *, alone: bool = False) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) -> this rank's part of the shuffled patches of the global batch, (B, 4, C, S / 2, S / 2); (4 B,) where each
        comes from: 4 times its image in the global batch, plus its corner. `alone`: the batch is this rank's, which waits for no other."""
        random = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        total = len(images) * (1 if alone else world_size()) * CORNERS
        mine, far = slice(total) if alone else local_rows(total), images.shape[-1] - self.side
        corners = torch.tensor([(0, 0), (0, far), (far, 0), (far, far)], device=images.device)
        crops = cut_patches(images, corners.expand(len(images), -1, -1), self.side).flatten(0, 1)  # (4 B, C, side, side)
        recipe, sizes = self.config.patch_recipe, {"size": self.patch, "channels": images.shape[1]}
        drawn = draw(recipe, total, self.side, self.side, random, **sizes).rows(mine, images.device)
        patches = render(crops, drawn, recipe, self.patch)
        origin = to_device(torch.randperm(total, generator=random)[mine], images.device)
        return (patches if alone else gather_rows(patches))[origin].unflatten(0, (-1, CORNERS)), origin

    def decoupled(self, montages: Tensor) -> Tensor:
        """(B, C, S, S) -> (4 B, D), a row a patch: the last map, brought to an even side where it is odd, averaged to 2 x 2."""
        x = self.encoder.map(montages)
        if self.map_side % 2:
            x = F.interpolate(x, (self.map_side + 1, self.map_side + 1), mode="bilinear", align_corners=False)
        return F.adaptive_avg_pool2d(x, 2).flatten(2).transpose(1, 2).flatten(0, 1)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """A row a montage: the montage, its first patch, and the three patches of all montages whose embeddings are nearest to that."""
        patches, _ = self.shuffled(batch.views["global"][0], alone=True)  # the first rank draws pictures, the others do not
        montages = stitch(patches)
        z = F.normalize(self.projector(self.decoupled(montages)), dim=1)  # (4 B, D)
        first = torch.arange(0, min(8, len(montages)) * CORNERS, CORNERS, device=z.device)
        nearest = (z[first] @ z.T).scatter(1, first.unsqueeze(1), -torch.inf).topk(3).indices  # (n, 3)
        shown = patches.flatten(0, 1)[torch.cat([first.unsqueeze(1), nearest], 1)]  # (n, 4, C, P, P)
        enlarged = F.interpolate(shown.flatten(0, 1), montages.shape[-1]).unflatten(0, shown.shape[:2])
        return {"clusters": torch.cat([montages[:8].unsqueeze(1), enlarged], 1).flatten(0, 1)}
