"""What the gate asks of a store: one block per expectation, each `{min and/or max, severity}`.

`--params validate.leakage.severity=warning` or `validate.decodable_share.min=0.99` changes one number and keeps the rest.
severity: `critical` closes the gate, `warning` is reported and goes on, `ignore` leaves the expectation out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ssl_pipelines.artifacts import Config


class Rule(Config):
    """An expectation that holds or does not."""

    severity: Literal["critical", "warning", "ignore"] = "critical"
    """What a failure means: `critical` stops the run before training, `warning` is reported, `ignore` leaves the expectation
    out."""


class ShareAtLeast(Rule):
    """A share that is not to be smaller."""

    min: float = Field(ge=0, le=1)
    """Smallest share, 0 to 1, that is accepted."""


class ShareAtMost(Rule):
    """A share that is not to be larger."""

    max: float = Field(ge=0, le=1)
    """Largest share, 0 to 1, that is accepted."""


class CountAtLeast(Rule):
    """A number that is not to be smaller."""

    min: int = Field(ge=0)
    """Smallest number that is accepted."""


class CountAtMost(Rule):
    """A number that is not to be larger."""

    max: int = Field(ge=0)
    """Largest number that is accepted."""


class RatioAtMost(Rule):
    """A ratio that is not to be larger."""

    max: float = Field(ge=1)
    """Largest ratio, 1 or more, that is accepted."""


class Band(Rule):
    """Values in [min, max], in pixels scaled to [0, 1]."""

    min: float = Field(ge=0, le=1)
    """Smallest value that is accepted, of pixels scaled to [0, 1]."""
    max: float = Field(ge=0, le=1)
    """Largest value that is accepted, of pixels scaled to [0, 1]."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min={self.min} must not be above max={self.max}")
        return self


class ValidateConfig(Config):
    """What is expected of the images before anything is trained; expectations on labels are left out where no image has one."""

    columns: Rule = Rule()
    """The manifest has its columns with their types, known splits and statuses, and a reason in every unusable row."""
    unique_ids: Rule = Rule()
    """Every row of the manifest has an id of its own."""
    images: CountAtLeast = CountAtLeast(min=32, severity="warning")
    """Number of usable images in all splits together. Lower `min` for a first look at a handful of images."""
    decodable_share: ShareAtLeast = ShareAtLeast(min=0.9)
    """Share of the files meant as images that can be decoded; below it the run stops."""
    decodable_target: ShareAtLeast = ShareAtLeast(min=0.99, severity="warning")
    """Share of the files meant as images that can be decoded; below it, but above `decodable_share`, there is a warning."""
    unread_formats: ShareAtMost = ShareAtMost(max=0.0, severity="warning")
    """Share of images in formats that are not decoded, such as HEIC, raw photographs and DICOM. Raise it where they may be left out."""
    gray_levels: CountAtLeast = CountAtLeast(min=64, severity="warning")
    """Gray levels left in the median of the images that had more than 8 bits a channel. Lower it for masks and drawings of few values."""
    source_side: CountAtLeast = CountAtLeast(min=8, severity="warning")
    """Shorter side in px of the smallest source image. Raise `min` where enlarged thumbnails would mislead."""
    label_set: Rule = Rule()
    """Every label is an index into the classes."""
    class_spelling: CountAtMost = CountAtMost(max=0, severity="warning")
    """Number of classes whose names differ from another's in case, spaces or composed accents alone, and so may be one class; raise `max`
    where they are meant to be different."""
    class_presence: Rule = Rule()
    """Every class has images in train and in test. Turn it to a warning for long-tailed data."""
    class_balance: RatioAtMost = RatioAtMost(max=50, severity="warning")
    """Number of train images of the largest class over that of the smallest. Raise `max` for long-tailed data."""
    images_per_class: CountAtLeast = CountAtLeast(min=5, severity="warning")
    """Number of images of the smallest class of train, and of test. Lower `min` for fine-grained classes."""
    duplicate_share: ShareAtMost = ShareAtMost(max=0.01, severity="warning")
    """Share of the usable images that equal an earlier one in every pixel. Raise `max` where repeats are meant."""
    leakage: CountAtMost = CountAtMost(max=0)
    """Number of image contents that stand in more than one of train, validation and test. Keep it at 0: scores on seen images mean
    nothing."""
    pixel_mean: Band = Band(min=0.02, max=0.98, severity="warning")
    """Mean of each channel over the pretraining images, in [0, 1]. Widen the band for very dark or bright images."""
    pixel_std: Band = Band(min=0.01, max=0.5)
    """Standard deviation of each channel over the pretraining images, in [0, 1]; 0.5 is half the pixels black and half white."""
    constant_share: ShareAtMost = ShareAtMost(max=0.01, severity="warning")
    """Share of the usable images with one value in every pixel. Raise `max` where empty images are meant."""

    @model_validator(mode="before")
    @classmethod
    def _keep_the_rest(cls, values: Any) -> Any:
        """`{leakage: {severity: warning}}` changes the severity and keeps the default threshold."""
        if not isinstance(values, Mapping):
            return values
        merged = dict(values)
        for name, block in values.items():
            if name in cls.model_fields and isinstance(block, Mapping):
                merged[name] = cls.model_fields[name].default.model_dump() | dict(block)
        return merged
