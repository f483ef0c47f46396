"""Which views a method draws: groups of views, each with its recipe. Typed, so that a config file can change any part."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ssl_pipelines.artifacts import Config

Probability = Field(default=0.0, ge=0, le=1)
LARGE = 64  # px; larger views are resized as the papers do at 224


class ViewRecipe(Config):
    """One view's random transforms: crop, flip, rotation, colors, grayscale, blur, solarize, noise, erase. Probabilities are per image."""

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
    rotation: float = Field(default=0.0, ge=0, le=180)  # degrees to either side, zeros come in at the corners
    noise: float = Probability
    noise_std: float = Field(default=0.1, ge=0, le=1)  # Gaussian, of values in [0, 1]
    erase: float = Probability  # a box of the view, filled with erase_value: cutout
    erase_scale: tuple[float, float] = (0.02, 0.33)  # share of the area
    erase_ratio: tuple[float, float] = (0.3, 3.3)  # height over width
    erase_value: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (low, high), least in (
            ("scale", self.scale, 1e-4),
            ("ratio", self.ratio, 1e-2),
            ("blur_sigma", self.blur_sigma, 1e-3),
            ("erase_scale", self.erase_scale, 1e-4),
            ("erase_ratio", self.erase_ratio, 1e-2),
        ):
            if not least <= low <= high:
                raise ValueError(f"{name}: two numbers low <= high, low >= {least}, are allowed")
        for name, (_, high) in (("scale", self.scale), ("erase_scale", self.erase_scale)):
            if high > 1:
                raise ValueError(f"{name}: shares of the area up to 1 are allowed")
        return self


class ViewGroup(Config):
    """`count` views of one recipe. `size` in px; None: the plan's.

    `shared_flip`: all views of an image are mirrored, or none (AMDIM).
    `same_as` names a group whose views come again at this group's size: the same crops, flips and colors (BEiT's tokenizer).
    `swap_of` names a group on the background of whose first view another image's foreground is put (a hard negative)."""

    recipe: ViewRecipe = ViewRecipe()
    shared_flip: bool = False
    same_as: str | None = None
    swap_of: str | None = None
    count: int = Field(default=1, ge=0, le=64)  # 0, for groups whose number is free: no such views
    size: int | None = Field(default=None, ge=4, le=1024)


class Backgrounds(Config):
    """How often the background behind an image's foreground is another one, drawn for each view before it is cropped. Needs
    dataset.fields=[saliency]. Ryali et al. 2021, arXiv:2103.12719."""

    removed: float = Probability  # gray of a random level
    random: float = Probability  # another image's
    swapped: float = Probability  # of the groups with swap_of: how often their view counts

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.removed + self.random > 1:
            raise ValueError(f"removed={self.removed} and random={self.random}: together up to 1 is allowed")
        return self


class ViewPlan(Config):
    """All views of a step. `size` in px is the method's input size; None: dataset.size."""

    size: int | None = Field(default=None, ge=4, le=1024)
    groups: dict[str, ViewGroup]
    backgrounds: Backgrounds = Backgrounds()
    interpolation: Literal["bilinear", "bicubic", "bicubic_large"] = "bilinear"
    """How crops are resized: `bicubic` is sharper and costs more on a CPU, `bicubic_large` takes it for views of more than 64 px alone,
    as papers have it at 224. Change it to compare with an implementation that resizes otherwise."""

    def is_cubic(self, size: int) -> bool:
        """Whether views of `size` px are resized bicubically."""
        return self.interpolation == "bicubic" or (self.interpolation == "bicubic_large" and size > LARGE)

    @property
    def fields(self) -> tuple[str, ...]:
        """What the store must hold beside the images."""
        return ("saliency",) if self.backgrounds != Backgrounds() else ()

    @model_validator(mode="after")
    def _swaps_what_is_there(self) -> Self:
        swaps = {name: group.swap_of for name, group in self.groups.items() if group.swap_of is not None}
        for name, of in swaps.items():
            if of not in self.groups or of in swaps or self.groups[of].same_as is not None:
                raise ValueError(f"groups.{name}.swap_of={of!r}: allowed are groups with views of their own")
        if self.backgrounds.swapped and not swaps:
            raise ValueError(
                f"backgrounds.swapped={self.backgrounds.swapped} would be ignored: a swap is a negative, which background_aug has"
            )
        return self

    @model_validator(mode="after")
    def _repeats_what_is_there(self) -> Self:
        for name, group in self.groups.items():
            if group.same_as is None:
                continue
            source = self.groups.get(group.same_as)
            if source is None or source.same_as is not None:
                allowed = ", ".join(key for key, other in self.groups.items() if other.same_as is None)
                raise ValueError(f"groups.{name}.same_as={group.same_as!r}: allowed are groups with views of their own: {allowed}")
            if source.count != group.count or group.recipe != ViewRecipe() or group.shared_flip:
                raise ValueError(
                    f"groups.{name}: count, recipe and shared_flip are those of {group.same_as!r}, leave out what differs"
                )
        return self

    def resolved(self, store_size: int) -> ViewPlan:
        """The plan with every size filled in, without groups of no views."""
        size = self.size or store_size
        groups = {name: group.model_copy(update={"size": group.size or size}) for name, group in self.groups.items() if group.count}
        if not self.backgrounds.swapped:  # a swap that never counts needs no view
            groups = {name: group for name, group in groups.items() if group.swap_of is None}
        return self.model_copy(update={"size": size, "groups": groups})


# Chen et al. 2020, arXiv:2002.05709, appendix A and B.9 (CIFAR-10: color strength 0.5, no blur).
SIMCLR_SMALL = ViewRecipe(jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2)


def two_views(recipe: ViewRecipe) -> ViewPlan:
    return ViewPlan(groups={"global": ViewGroup(recipe=recipe, count=2)})


def one_view(recipe: ViewRecipe) -> ViewPlan:
    return ViewPlan(groups={"global": ViewGroup(recipe=recipe)})


def view_pair(first: ViewRecipe, second: ViewRecipe) -> ViewPlan:
    """Two views of different recipes: groups "first" and "second", a view each."""
    return ViewPlan(groups={"first": ViewGroup(recipe=first), "second": ViewGroup(recipe=second)})


# Grill et al. 2020, arXiv:2006.07733, appendix B: less saturation, and one view in five solarized in the second. No blur at 32 px.
BYOL_FIRST = ViewRecipe(jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grayscale=0.2)
BYOL_SECOND = BYOL_FIRST.model_copy(update={"solarize": 0.2})


def bicubic(plan: ViewPlan) -> ViewPlan:
    """The plan of a paper that resizes crops bicubically: at its sizes, not at those of small images."""
    return plan.model_copy(update={"interpolation": "bicubic_large"})


def multi_crop(
    first: ViewRecipe, second: ViewRecipe | None = None, *, local: tuple[float, float], count: int, size: int
) -> ViewPlan:
    """Two large crops, alike ("global") or not ("first", "second"), and `count` small ones of another share of the area ("local").

    Caron et al. 2020 (SwAV), arXiv:2006.09882, section 3.2. The small ones have the first recipe's colors."""
    small = ViewGroup(recipe=first.model_copy(update={"scale": local}), count=count, size=size)
    return ViewPlan(groups=(two_views(first) if second is None else view_pair(first, second)).groups | {"local": small})
