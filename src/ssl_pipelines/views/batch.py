"""What a method sees of the data. There are no labels in it, so pretraining cannot use any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """views: group -> (V, B, C, H, W) in [0, 1]; targets: made with the views, never by people -> (V, B, ...); ids: (B,) int64."""

    views: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    ids: Tensor

    def crops(self, *groups: str) -> list[Tensor]:
        """The views (B, C, H, W) of these groups one after the other; a group that the plan has left out has none."""
        return [view for name in groups for view in self.views.get(name, ())]
