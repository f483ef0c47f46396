"""Which views a method draws: groups of views, each with its recipe. Typed, so that a config file can change any part."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ssl_pipelines.artifacts import Config

Probability = Field(default=0.0, ge=0, le=1)


class ViewRecipe(Config):
    """One view's random transforms, in the order in which they are applied. Probabilities are per image."""

    crop: Literal["resized", "padded", "none"] = "resized"
    scale: tuple[float, float] = (0.08, 1.0)  # share of the area (resized)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height (resized)
    padding: int = Field(default=4, ge=0, le=256)  # px of zeros around the image (padded)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Probability
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)  # three channels only
    hue: float = Field(default=0.0, ge=0, le=0.5)  # three channels only; a fraction of the circle
    grayscale: float = Probability  # three channels only
    blur: float = Probability
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # px
    solarize: float = Probability
    solarize_threshold: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (low, high), least in (
            ("scale", self.scale, 1e-4),
            ("ratio", self.ratio, 1e-2),
            ("blur_sigma", self.blur_sigma, 1e-3),
        ):
            if not least <= low <= high:
                raise ValueError(f"{name}: two numbers low <= high, low >= {least}, are allowed")
        if self.scale[1] > 1:
            raise ValueError("scale: shares of the area up to 1 are allowed")
        return self


class ViewGroup(Config):
    """`count` views of one recipe. `size` in px; None: the plan's."""

    recipe: ViewRecipe = ViewRecipe()
    count: int = Field(default=1, ge=1, le=64)
    size: int | None = Field(default=None, ge=4, le=1024)


class ViewPlan(Config):
    """All views of a step. `size` in px is the method's input size; None: the store's."""

    size: int | None = Field(default=None, ge=4, le=1024)
    groups: dict[str, ViewGroup]

    def resolved(self, store_size: int) -> ViewPlan:
        """The plan with every size filled in."""
        size = self.size or store_size
        groups = {name: group.model_copy(update={"size": group.size or size}) for name, group in self.groups.items()}
        return self.model_copy(update={"size": size, "groups": groups})


# Chen et al. 2020, arXiv:2002.05709, appendix A and B.9 (CIFAR-10: color strength 0.5, no blur).
SIMCLR_SMALL = ViewRecipe(jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2)


def two_views(recipe: ViewRecipe) -> ViewPlan:
    return ViewPlan(groups={"global": ViewGroup(recipe=recipe, count=2)})


def one_view(recipe: ViewRecipe) -> ViewPlan:
    return ViewPlan(groups={"global": ViewGroup(recipe=recipe)})
