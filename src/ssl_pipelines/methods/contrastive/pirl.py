"""PIRL: an image's nine shuffled patches are to be embedded where the image is. Misra & van der Maaten, CVPR 2020, arXiv:1912.01991.

lambda NCE(m_I, g(patches)) + (1 - lambda) NCE(m_I, f(image)), m_I the image's row of a memory bank, which averages f(image) alone (eq. 5).
`form="constant"` is the authors' code: InstDisc's NCE, whose normalizer the first batch sets, one a term; `form="softmax"` is eqs. 3 and 4.

Differs: the crop for the patches is enlarged to 48 px where images are smaller, else an encoder would see a pixel or two of a patch; 4096
negatives, the paper's ablations' number, at most as many as images; they are drawn from all rows, as the authors' code does. Embeddings pass
a batch norm without weights (`center`) and gradients are clipped, as InstDisc's here and for its reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import local_rows, world_size
from ssl_pipelines.losses.nce import mean_normalizer, nce_of_first_normalizer, softmax_nce
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.bank import MemoryBank, bank_negatives, check_negatives
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.patches import cut_patches, patch_corners, patch_orders, recolor_patches
from ssl_pipelines.views.plan import ViewGroup, ViewPlan, ViewRecipe

GRID = 3  # patches a side
COLORS = ViewRecipe(crop="none", flip=0, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2)
IMAGE = COLORS.model_copy(update={"crop": "resized", "flip": 0.5})


class PIRL(Method):
    class Config(MethodConfig):
        name: Literal["pirl"] = "pirl"
        views: ViewPlan = ViewPlan(
            groups={"global": ViewGroup(recipe=IMAGE), "patched": ViewGroup(recipe=ViewRecipe(scale=(0.6, 1.0)))}
        )
        patch_recipe: ViewRecipe = COLORS
        """Random transforms of each patch by itself."""
        patch_fraction: float = Field(default=0.75, ge=0.25, le=1)
        """Side of a patch as a share of its cell's; 64 of 85 px in the paper."""
        patch_weight: float = Field(default=0.5, ge=0, le=1)
        """Weight lambda, 0 to 1, of the patches' term; the image's own has the rest. The paper takes 0.5."""
        form: Literal["constant", "softmax"] = "constant"
        """Loss: InstDisc's NCE with constant normalizers, as in the authors' code (`constant`), or the paper's equations 3 and 4
        (`softmax`)."""
        temperature: float = Field(default=0.07, gt=0, le=10)
        """Temperature of the scores. The paper takes 0.07."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding and of a row of the memory bank. The paper takes 128."""
        negatives: int | None = Field(default=None, ge=1, le=2**20)
        """Number of rows of the memory bank against each image; null is 4,096, at most as many as there are images."""
        bank_momentum: float = Field(default=0.5, ge=0, lt=1)
        """Share of an image's old row of the memory bank that is kept when it is seen again. The paper takes 0.5."""
        center: bool = True
        """Whether embeddings pass a batch norm without weights. Without it the loss of short runs with a small encoder may grow."""

        @model_validator(mode="after")
        def _cells_are_whole(self) -> Self:
            size = self.views.groups["patched"].size if "patched" in self.views.groups else None
            if size and size % GRID:
                raise ValueError(f"views.groups.patched.size={size}: allowed are multiples of {GRID}, and null")
            return self

        def resolved_views(self, store_size: int) -> ViewPlan:
            group, size = self.views.groups["patched"], self.views.size or store_size
            side = group.size or max(48, -(-size // GRID) * GRID)
            groups = self.views.groups | {"patched": group.model_copy(update={"size": side})}
            return self.views.model_copy(update={"groups": groups}).resolved(store_size)

        def check_data(self, num_samples: int, channels: int) -> None:
            check_negatives(f"methods.{self.name}.negatives", self.negatives, num_samples)

    config: Config
    log_z: Tensor
    compares_within_batch = False
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.03, weight_decay=1e-4, clip=1.0))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.num_samples = parts.num_samples
        self.negatives = bank_negatives(config.negatives, parts.num_samples)
        self.cell = (config.views.groups["patched"].size or 0) // GRID  # px
        self.patch = round(self.cell * config.patch_fraction)  # px
        self.encoder, d = parts.build_encoder(), config.projection_dim
        self.encoder.check_sizes([self.patch])
        self.projector = mlp([self.encoder.dim, d], last_norm=config.center, last_affine=False)  # f
        # g: each patch, then all nine in their shuffled order
        self.patch_projector = nn.Linear(self.encoder.dim, d, bias=not config.center)
        self.joint_projector = mlp([GRID * GRID * d, d], last_norm=config.center, last_affine=False)
        self.bank = MemoryBank(parts.num_samples, d, config.bank_momentum)
        self.register_buffer("log_z", torch.full((2,), torch.nan))  # of the image's term and of the patches'

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images], [crops] = batch.views["global"], batch.views["patched"]
        drawn = self.bank.draw(len(images), self.negatives)  # (B, M), for both terms
        v = F.normalize(self.projector(self.encoder(images)), dim=1)  # (B, D)
        u = self.embed_patches(self.shuffled_patches(crops))  # (B, D)
        image_loss, z_image = self.contrast(v, batch.ids, drawn, self.log_z[0])
        patch_loss, z_patches = self.contrast(u, batch.ids, drawn, self.log_z[1])
        weight = self.config.patch_weight
        memory = {"v": v.detach(), "ids": batch.ids, "log_z": torch.stack([z_image, z_patches])}
        metrics = {"image_loss": image_loss.detach(), "patch_loss": patch_loss.detach()}
        return Output(weight * patch_loss + (1 - weight) * image_loss, metrics, memory)

    def contrast(self, z: Tensor, ids: Tensor, drawn: Tensor, log_z: Tensor) -> tuple[Tensor, Tensor]:
        """-> the NCE loss of unit rows z (B, D) against their stored rows, and the log Z that it was taken with."""
        positive, negatives, t = self.bank.positives(z, ids), self.bank.scores(z, drawn), self.config.temperature
        if self.config.form == "softmax":
            return softmax_nce(positive, negatives, t), log_z
        return nce_of_first_normalizer(positive, negatives, log_z, self.num_samples, t)

    def shuffled_patches(self, crops: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, 9, C, P, P): a patch at a random place of each cell, colors of its own, a permutation an image."""
        random = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        total = len(crops) * world_size()
        mine = local_rows(total)
        corners, order = patch_corners(total, GRID, self.cell, self.patch, random), patch_orders(total, GRID * GRID, random)
        # All patches are cut alike, so shuffling their places before the cut shuffles the patches.
        corners = corners.gather(1, order.unsqueeze(2).expand(-1, -1, 2))[mine]
        patches = cut_patches(crops, to_device(corners, crops.device), self.patch)
        return recolor_patches(patches, self.config.patch_recipe, random, mine, total)

    def embed_patches(self, patches: Tensor) -> Tensor:
        """(B, 9, C, P, P) -> unit rows (B, D)."""
        each = self.patch_projector(self.encoder(patches.flatten(0, 1)))  # (9 B, D)
        return F.normalize(self.joint_projector(each.reshape(len(patches), -1)), dim=1)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        self.log_z.copy_(mean_normalizer([output.memory["log_z"] for output in outputs]))
        for output in outputs:
            self.bank.update(output.memory["ids"], output.memory["v"])
