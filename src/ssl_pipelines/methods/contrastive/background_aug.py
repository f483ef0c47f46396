"""Background augmentation: MoCo v2 whose views change their backgrounds, and a negative that shares the query's. Ryali, Schwab &
Morcos 2021, arXiv:2103.12719.

Foregrounds are found without labels at ingestion. In some views the background is removed or another image's; and some queries are put
on another image's background, which their extra negative, another foreground, shares, and their positive does not. With other methods
the first two are a key away: methods.byol.views.backgrounds.random=0.2 (swav, and any other); swaps need negatives.

Differs: as MoCo v2 here; a classical saliency cue instead of a network; on small images its masks are coarse, and the share of
images in which it found one stands in the report.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from ssl_pipelines.losses.info_nce import info_nce
from ssl_pipelines.methods.base import Clock, Output
from ssl_pipelines.methods.contrastive.moco_v2 import VIEW, MoCoV2
from ssl_pipelines.networks.scores import row_scores
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import Backgrounds, ViewGroup, ViewPlan


class BackgroundAug(MoCoV2):
    class Config(MoCoV2.Config):
        name: Literal["background_aug"] = "background_aug"  # type: ignore[assignment]
        views: ViewPlan = ViewPlan(
            groups={"global": ViewGroup(recipe=VIEW, count=2), "swapped": ViewGroup(recipe=VIEW, swap_of="global")},
            backgrounds=Backgrounds(removed=0.1, random=0.1, swapped=0.2),
        )

    config: Config

    def loss(self, batch: Batch, clock: Clock) -> Output:
        if "swapped" not in batch.views:
            return super().loss(batch, clock)
        x1, x2 = batch.views["global"]  # each (B, C, H, W)
        [counts], [other] = batch.targets["swapped_counts"], batch.views["swapped"]
        q = F.normalize(self.projector(self.encoder(x1)), dim=1)  # (B, D)
        k, hard = self.keys_of(x2), self.keys_of(other)
        swapped = row_scores(q, hard.unsqueeze(1)).masked_fill(~counts.unsqueeze(1), float("-inf"))  # (B, 1)
        negatives = torch.cat([row_scores(q, self.queue.keys), swapped], dim=1)  # (B, K + 1)
        loss, memory = info_nce(row_scores(q, k.unsqueeze(1)).squeeze(1), negatives, self.config.temperature), {"k2": k}
        if self.config.symmetric:  # the extra negative shares the first view's background alone, so the second view has none
            mirrored, memory["k1"] = self.contrast(x2, x1)
            loss = (loss + mirrored) / 2
        return Output(loss, {"swapped": counts.float().mean()}, memory)
