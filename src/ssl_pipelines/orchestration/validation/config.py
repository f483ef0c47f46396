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
    """Holds or does not."""

    severity: Literal["critical", "warning", "ignore"] = "critical"


class ShareAtLeast(Rule):
    min: float = Field(ge=0, le=1)


class ShareAtMost(Rule):
    max: float = Field(ge=0, le=1)


class CountAtLeast(Rule):
    min: int = Field(ge=0)


class CountAtMost(Rule):
    max: int = Field(ge=0)


class RatioAtMost(Rule):
    max: float = Field(ge=1)


class Band(Rule):
    """Values in [min, max], in pixels scaled to [0, 1]."""

    min: float = Field(ge=0, le=1)
    max: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min={self.min} must not be above max={self.max}")
        return self


class ValidateConfig(Config):
    """The label expectations are left out where no image has a label."""

    columns: Rule = Rule()  # the manifest's columns, their types, known splits and statuses, a reason in every unusable row
    unique_ids: Rule = Rule()
    images: CountAtLeast = CountAtLeast(min=32, severity="warning")  # usable images, all splits together
    decodable_share: ShareAtLeast = ShareAtLeast(min=0.9)  # of the files that are meant as images: below it the run stops
    decodable_target: ShareAtLeast = ShareAtLeast(min=0.99, severity="warning")  # ... and below it there is a warning
    unread_formats: ShareAtMost = ShareAtMost(max=0.0, severity="warning")
    """Share of images in formats that are not decoded, such as HEIC, raw photographs and DICOM. Raise it where they may be left out."""
    gray_levels: CountAtLeast = CountAtLeast(min=64, severity="warning")
    """Gray levels left in the median of the images that had more than 8 bits a channel. Lower it for masks and drawings of few values."""
    source_side: CountAtLeast = CountAtLeast(min=8, severity="warning")  # shorter side of the smallest source image, pixels
    label_set: Rule = Rule()  # every label is an index into the classes
    class_spelling: CountAtMost = CountAtMost(max=0, severity="warning")
    """Number of classes whose names differ from another's in case, spaces or composed accents alone, and so may be one class; raise `max`
    where they are meant to be different."""
    class_presence: Rule = Rule()  # every class in train and in test
    class_balance: RatioAtMost = RatioAtMost(max=50, severity="warning")  # largest / smallest class of train
    images_per_class: CountAtLeast = CountAtLeast(min=5, severity="warning")  # smallest class of train, and of test
    duplicate_share: ShareAtMost = ShareAtMost(
        max=0.01, severity="warning"
    )  # of the usable images: equal in every pixel to an earlier one
    leakage: CountAtMost = CountAtMost(max=0)  # image contents in more than one of train, validation, test
    pixel_mean: Band = Band(min=0.02, max=0.98, severity="warning")  # each channel's, over the pretraining images
    pixel_std: Band = Band(min=0.01, max=0.5)  # 0.5: half the pixels black, half white
    constant_share: ShareAtMost = ShareAtMost(max=0.01, severity="warning")  # of the usable images: one value in every pixel

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
