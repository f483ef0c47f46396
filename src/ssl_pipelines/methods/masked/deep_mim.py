"""DeepMIM: decoders after several blocks of MAE's encoder, not after the last alone. Ren et al., WACV 2025, arXiv:2303.08817.

Each decoder predicts the hidden patches on its own, from tokens that go in as the block leaves them (the last block's through the
encoder's norm); the losses are added and the decoders thrown away. With a finished run of MAE (`pretrain.upstream.mae`, of use where
there is one) the targets of early blocks are hybrid: mixed with what that run makes of the same visible patches, all of it for the
first decoder, nothing of it for the last.

Differs: as MAE here; one block a decoder, for several of them would outweigh a small encoder, and three decoders behind an encoder of
four blocks, where two of the paper's four places fall on the third. The authors released their CLIP variant
alone; the pixel variant is the paper's, with MAE's loss after each block.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.masked_pixels import masked_patch_loss
from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.masked.mae import MAE
from ssl_pipelines.methods.masked_patches import blocks_of, check_blocks, side_of
from ssl_pipelines.networks.config import VITS, BackboneConfig
from ssl_pipelines.views.batch import Batch

PLACES = (1 / 2, 2 / 3, 5 / 6, 1.0)  # blocks 6, 8, 10, 12 of 12


class DeepMIM(MAE):
    class Config(MAE.Config):
        name: Literal["deep_mim"] = "deep_mim"  # type: ignore[assignment]
        decoder_depth: int = Field(default=1, ge=1, le=24)
        blocks: tuple[int, ...] | None = None
        """Blocks of the encoder that have a decoder, counted from 1, the last one included; null is the paper's shares of the
        depth."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            super().check_run(batch_size, backbone)
            check_blocks("methods.deep_mim.blocks", self.blocks, backbone.depth or VITS[backbone.name][1])

    config: Config
    may_stand_on = ("mae",)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.taps = sorted(set(config.blocks or blocks_of(len(self.encoder.blocks), PLACES)))
        self.early_decoders = nn.ModuleList(config.decoder_of(self.encoder.dim, self.patch_dim) for _ in self.taps[:-1])
        if "mae" in parts.upstream:
            self._check_teacher(parts.upstream["mae"])

    def _check_teacher(self, teacher: nn.Module) -> None:
        if not isinstance(teacher, MAE):
            wrong = f"no MAE but {type(teacher).__name__}"
        elif teacher.encoder.patch_size != self.encoder.patch_size:
            wrong = f"one with patches of {teacher.encoder.patch_size} px, here they have {self.encoder.patch_size}"
        elif not (self.config.normalize_targets and teacher.config.normalize_targets):
            wrong = "refused where normalize_targets=False, there or here"
        else:
            return
        raise InputError(f"pretrain.upstream.mae is {wrong}: allowed is a run of method=mae on the same patches, normalized")

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        visible, restore, mask = self.hide(images)
        outputs, side = self.encode_visible(images, visible), side_of(images, self.encoder.patch_size)
        losses: dict[str, Tensor] = {}
        targets = self.targets(images, visible, restore)
        for block, decoder, target in zip(self.taps, [*self.early_decoders, self.decoder], targets, strict=True):
            losses[f"loss_block{block}"] = masked_patch_loss(decoder(outputs[block - 1], restore, (side, side)), target, mask)
        return Output(torch.stack(list(losses.values())).sum(), {name: value.detach() for name, value in losses.items()})

    @torch.no_grad()
    def targets(self, images: Tensor, visible: Tensor, restore: Tensor) -> list[Tensor]:
        """Of each decoder (B, T, P P C): a x + (1 - a) x', a from 0 (the first) to 1 (the last), x' the finished MAE's prediction."""
        true, last = self.target(images), len(self.taps) - 1
        if "mae" not in self._upstream or not last:
            return [true] * (last + 1)
        guess = self.finished("mae").predict(images, visible, restore)
        return [k / last * true + (1 - k / last) * guess for k in range(last + 1)]
