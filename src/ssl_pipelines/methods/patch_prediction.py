"""What CPC and CPC v2 share: a grid of patches whose rows are predicted from the rows above."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

RECIPE = Recipe(optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=1e-4), batch_size=64)


class PatchPredictionConfig(MethodConfig):
    """The grid, how far is predicted, and the context network. `trunk_norm`: what the encoder of a patch is built with."""

    trunk_norm: ClassVar[Literal["none", "layer"]]

    views: ViewPlan = one_view(ViewRecipe(crop="padded", padding=2, flip=0.5))
    grid: int = Field(default=5, ge=3, le=15)
    """Number of overlapping patches along a side. The paper takes 7 for 256 px."""
    steps: int = Field(default=3, ge=1, le=13)
    """Number of rows that are predicted, from 2 to `steps` + 1 rows away; at most `grid` - 2."""
    context_dim: int = Field(default=256, ge=8, le=4096)
    """Width of the context network's blocks."""
    context_depth: int = Field(default=3, ge=1, le=32)
    """Number of residual blocks of the context network; each sees one row more above."""

    @model_validator(mode="after")
    def _rows_are_there(self) -> Self:
        if self.steps > self.grid - 2:
            raise ValueError(
                f"steps={self.steps} with grid={self.grid} looks beyond the last row; allowed is up to {self.grid - 2}"
            )
        return self

    def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
        if backbone.norm not in ("auto", self.trunk_norm):
            found = f"backbone.norm={backbone.norm!r}: the patches' trunk has norm {self.trunk_norm!r} here"
            raise InputError(f"{found}; allowed are auto, {self.trunk_norm}")
        if backbone.stem == "imagenet":
            raise InputError(
                "backbone.stem='imagenet' is for whole images, here small patches are encoded; allowed are auto, small"
            )
