"""Inpainting (context encoder): paint what is in the hole from what is around it. Pathak et al., CVPR 2016, arXiv:1604.07379.

0.999 |M * (x - F((1 - M) * x))|^2 + 0.001 (-log D(F)), M = 1 in the hole, which is filled with the mean color; D, the critic, steps
first, with an optimizer of its own, on real images and on the holes' filling put into theirs. Encoder, a fully connected layer within
each map, a 1x1 convolution across them, decoder. Holes: regions of any shape over a quarter of the image (the paper's for features),
blocks, or the center, where a rim of visible pixels is predicted too, with tenfold weight. The released features are of reconstruction
alone (`adversarial_weight=0`); a row of the leaderboard has the joint loss. Reconstruction alone at the same budget (60,032 images of
CIFAR-10 drawn, seed 0): linear probe 46.1 %, gain over random initialization +8.5 [+7.2, +9.8], within the joint loss's interval.

Differs: the run's encoder, held at a map of 4 x 4 places or more (8 px a place at 32 px, 7 x 7 places at 224 px; the paper's has 6 x 6),
upsampling convolutions back; a mask an image; the generator's loss in the form of the authors' code, -log D for log(1 - D); standardized
pixels where theirs are in [-1, 1]. Errors count by the hole's area, and in the hole alone for regions too, as the paper has it (the code:
all pixels). With holes="center", too, the critic sees the whole image with its hole filled; the paper's sees the predicted square alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.losses.adversarial import critic_loss, fooling_loss
from ssl_pipelines.losses.holes import hole_error
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.channelwise import ChannelwiseLinear
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.conv_decoder import ConvDecoder
from ssl_pipelines.networks.critic import Critic
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.holes import BLOCKS, CELLS, block_holes, center_hole, region_holes, rim
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

READ_WITH = {"overlap": "center", "overlap_weight": "center", "region_share": "regions"}
OF_THE_CRITIC = ("critic_lr", "critic_width")


class Inpainting(Method):
    class Config(MethodConfig):
        name: Literal["inpainting"] = "inpainting"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.5))
        holes: Literal["regions", "blocks", "center"] = "regions"
        """Shape of the holes: `regions` of any shape, four `blocks`, or the `center`. Regions give the paper's best features."""
        region_share: float = Field(default=0.25, gt=0, lt=1)
        """Share of the area that a hole of holes=regions covers. The paper takes 0.25."""
        overlap: int = Field(default=1, ge=0, le=64)
        """Width in px of the rim of the central square that stays visible and is predicted too, with holes=center; 4 of 128 px in
        the authors' code."""
        overlap_weight: float = Field(default=10.0, gt=0, le=1000)
        """Weight of that rim's errors beside the hole's, with holes=center. The paper takes 10."""
        adversarial_weight: float = Field(default=0.001, ge=0, lt=1)
        """Weight of fooling the critic, 0 to below 1; the reconstruction has the rest. The paper takes 0.001 for pictures; 0 leaves
        the critic out."""
        critic_lr: float = Field(default=2e-4, gt=0, le=1)
        """Learning rate of the critic's own optimizer. Lower it where the critic wins at once."""
        critic_width: int = Field(default=32, ge=1, le=1024)
        """Number of the critic's channels in its first layer."""
        decoder_width: int = Field(default=32, ge=1, le=1024)
        """Number of the decoder's channels at the image's own side; coarser maps have up to 8 times as many."""

        @model_validator(mode="after")
        def _of_the_holes(self) -> Self:
            ignored = {key: f"holes={kind!r}" for key, kind in READ_WITH.items() if self.holes != kind}
            if not self.adversarial_weight:
                ignored |= dict.fromkeys(OF_THE_CRITIC, "adversarial_weight above 0")
            for key, needed in ignored.items():
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key}={getattr(self, key)} is read with {needed}; here it would be ignored")
            return self

    config: Config
    judged_at = "best"
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=8),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, lr_batch=None, betas=(0.5, 0.999), weight_decay=0.0),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder, size = parts.build_encoder(), parts.image_size
        dim, side = map_shape(self.encoder, size)
        if side < 2:
            raise InputError(
                f"method={config.name!r} needs a map of places, and this encoder leaves one of {size} px; "
                "allowed: a ResNet with backbone.output_stride, or a ViT"
            )
        if config.holes == "center" and size // 2 <= 2 * config.overlap:
            raise InputError(f"methods.{config.name}.overlap={config.overlap} leaves no hole in views of {size} px")
        self.across = nn.Sequential(
            ChannelwiseLinear(dim, side),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, 1, bias=False),
            BatchNorm(dim),
            nn.ReLU(inplace=True),
        )
        self.decoder = ConvDecoder(dim, side, size, self.encoder.in_channels, config.decoder_width)
        if config.adversarial_weight:
            self.critic = Critic(self.encoder.in_channels, size, config.critic_width)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        return self.generate(*self.inpaint(batch.views["global"][0]))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Output]:
        painted = self.inpaint(batch.views["global"][0])
        if self.config.adversarial_weight:
            yield self.criticize(*painted)
        yield self.generate(*painted)

    def inpaint(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> the images standardized (B, C, S, S), the holes (B, 1, S, S), and the network's standardized picture (B, C, S, S)."""
        real, hole = self.encoder.normalize(images), self.draw_holes(images)
        holed = images * (1 - hole) + self.encoder.mean * hole
        return real, hole, self.decoder(self.across(self.encoder.map(holed))).to(real)

    def draw_holes(self, images: Tensor) -> Tensor:
        b, size, device = len(images), images.shape[2], images.device
        if self.config.holes == "regions":
            hole = region_holes(rand_rows(b, CELLS, CELLS, device=device), size, self.config.region_share)
        elif self.config.holes == "blocks":
            hole = block_holes(rand_rows(b, BLOCKS, 3, device=device), size)
        else:
            hole = center_hole(size, size // 2 - 2 * self.config.overlap).expand(b, -1, -1, -1)
        return hole.to(images)

    def generate(self, real: Tensor, hole: Tensor, picture: Tensor) -> Output:
        """The generator's loss: the error within the hole and, with a critic, how far it is fooled."""
        weight, share = hole, self.config.adversarial_weight
        if self.config.holes == "center":
            weight = hole + self.config.overlap_weight * rim(hole, self.config.overlap)
        error = hole_error(picture, real, weight)
        if not share:
            return Output(error, {"error": error.detach()})
        fooled = fooling_loss(self.critic(fill(real, hole, picture)))
        return Output((1 - share) * error + share * fooled, {"error": error.detach(), "fooled": fooled.detach()})

    def criticize(self, real: Tensor, hole: Tensor, picture: Tensor) -> Output:
        """The critic's loss on true images and on filled ones, in separate batches for the sake of batch norms."""
        wrong = critic_loss(self.critic(real), self.critic(fill(real, hole, picture.detach())))
        return Output(wrong, {"critic": wrong.detach()}, optimizer="critic")

    def param_groups(self) -> list[ParamGroup]:
        if not self.config.adversarial_weight:
            return []
        own = OptimizerConfig(name="adamw", lr=self.config.critic_lr, lr_batch=None, betas=(0.5, 0.999), weight_decay=0.0)
        return [ParamGroup(self.critic, optimizer="critic", config=own)]

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (image with its hole, the hole filled, image)."""
        images = batch.views["global"][0][:8]
        real, hole, picture = self.inpaint(images)
        filled = (fill(real, hole, picture) * self.encoder.std + self.encoder.mean).clamp(0, 1)
        holed = images * (1 - hole) + self.encoder.mean * hole
        return {"inpaintings": torch.stack([holed, filled, images], dim=1).flatten(0, 1)}


def fill(real: Tensor, hole: Tensor, picture: Tensor) -> Tensor:
    """The network's picture inside of the hole, the image around it."""
    return real * (1 - hole) + picture * hole
