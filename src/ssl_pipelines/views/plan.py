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
    """How a view is cut: `resized` cuts a random part and resizes it, `padded` shifts the image by up to `padding` px, `none` takes
    it whole."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the image's area that a `resized` crop takes. Raise the smallest where small parts lose what
    tells images apart."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width over height of a `resized` crop."""
    padding: int = Field(default=4, ge=0, le=256)
    """Largest shift of a `padded` crop along each axis, in px of the view; zeros come in from outside."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Chance, 0 to 1, that a view is mirrored. Set 0 where left and right differ in meaning, as for digits and text."""
    jitter: float = Probability
    """Chance, 0 to 1, that brightness, contrast, saturation and hue of a view are changed."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Strength of the change of brightness: its factor is drawn from 1 - strength to 1 + strength."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Strength of the change of contrast: its factor is drawn from 1 - strength to 1 + strength."""
    saturation: float = Field(default=0.0, ge=0, le=1)
    """Strength of the change of saturation, with a factor from 1 - strength to 1 + strength; images of three channels only."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest shift of the hue to either side, as a share of the circle; images of three channels only. Lower it where color tells
    classes apart."""
    grayscale: float = Probability
    """Chance, 0 to 1, that a view loses its color; images of three channels only. Without it, color alone often solves the task."""
    blur: float = Probability
    """Chance, 0 to 1, that a view is blurred. It matters for large photographs, less for small images."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest standard deviation of the blur, in px of the view. Scale it with the views' size: papers' 0.1 to 2 px
    are meant for 224 px."""
    solarize: float = Probability
    """Chance, 0 to 1, that values from `solarize_threshold` on are inverted."""
    solarize_threshold: float = Field(default=0.5, ge=0, le=1)
    """Value in [0, 1] from which solarizing inverts."""
    rotation: float = Field(default=0.0, ge=0, le=180)
    """Largest rotation to either side in degrees; zeros come in at the corners. Use it where images have no upright direction."""
    noise: float = Probability
    """Chance, 0 to 1, that Gaussian noise is added to a view."""
    noise_std: float = Field(default=0.1, ge=0, le=1)
    """Standard deviation of the noise, for values in [0, 1]."""
    erase: float = Probability
    """Chance, 0 to 1, that a box of a view is filled with `erase_value` (cutout)."""
    erase_scale: tuple[float, float] = (0.02, 0.33)
    """Smallest and largest share of the view's area that is erased."""
    erase_ratio: tuple[float, float] = (0.3, 3.3)
    """Smallest and largest height over width of the erased box."""
    erase_value: float = Field(default=0.0, ge=0, le=1)
    """Value in [0, 1] with which the box is filled."""

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
    """Views of one recipe, or those of another group again."""

    recipe: ViewRecipe = ViewRecipe()
    """Random transforms that each view of the group goes through."""
    shared_flip: bool = False
    """Whether all views of an image are mirrored together, as in AMDIM, or each by its own draw."""
    same_as: str | None = None
    """Name of a group whose views come again at this group's size, with the same crops, flips and colors, as for BEiT's tokenizer;
    null for views of its own."""
    swap_of: str | None = None
    """Name of a group on the background of whose first view another image's foreground is put, as a hard negative; null for
    none."""
    count: int = Field(default=1, ge=0, le=64)
    """Number of views of this recipe for each image. Only methods with free groups, such as SwAV's `local`, allow a change."""
    size: int | None = Field(default=None, ge=4, le=1024)
    """Side in px of these views; null is the plan's size."""


class Backgrounds(Config):
    """How often the background behind an image's foreground is another one, drawn for each view before it is cropped. Needs
    dataset.fields=[saliency]. Ryali et al. 2021, arXiv:2103.12719."""

    removed: float = Probability
    """Chance, 0 to 1, that the background behind the foreground becomes gray of a random level."""
    random: float = Probability
    """Chance, 0 to 1, that the background becomes another image's."""
    swapped: float = Probability
    """Chance, 0 to 1, that the extra negative of a group with `swap_of` counts. Only background_aug reads it."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.removed + self.random > 1:
            raise ValueError(f"removed={self.removed} and random={self.random}: together up to 1 is allowed")
        return self


class ViewPlan(Config):
    """All views that a method draws of each image in a step."""

    size: int | None = Field(default=None, ge=4, le=1024)
    """Side in px of what the method sees; null is `dataset.size`. Lower it to train faster."""
    groups: dict[str, ViewGroup]
    """Name of a group -> its views. The names are the method's own."""
    backgrounds: Backgrounds = Backgrounds()
    """How often views change their backgrounds; it needs `dataset.fields=[saliency]`."""
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
