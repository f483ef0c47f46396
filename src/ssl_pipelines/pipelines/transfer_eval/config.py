"""The block transfer_eval: on which data sets, beside which models, by which protocol."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, field_validator

from ssl_pipelines.artifacts import Config, InputError
from ssl_pipelines.artifacts.config import UserPath
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.evaluation.config import KnnConfig, LinearConfig
from ssl_pipelines.orchestration.validation.config import ValidateConfig

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
RESERVED = ("trained", "random_init", "raw_pixels", "gain")  # what columns and metrics are called


class SweepConfig(LinearConfig):
    """The linear probe with the finer grid of penalties that papers on transfer take."""

    num_values: int = Field(default=45, ge=3, le=100)
    """Number of l2 penalties that are tried on each data set's validation images; 45 as in Ericsson et al. 2021. Lower it to save
    time."""


class TransferConfig(Config):
    """Which other data sets the encoder is judged on, beside which models, by which protocol."""

    datasets: dict[str, DatasetConfig] = Field(default_factory=dict)
    """Name -> a block with the keys of `dataset`, for each data set to transfer to. Where no size is given, it is that of
    `dataset`."""
    models: dict[str, UserPath] = Field(default_factory=dict)
    """Name -> another model to stand beside: a model folder, an MLflow run id or models:/name@alias."""
    eval_layer: str | None = None
    """Layer of this project's encoder, and of its random initializations, that is judged on every data set, `final` for what `encode`
    gives; null is the one that linear_eval scored on the pretraining data. `models` are judged at their own."""
    linear: SweepConfig = SweepConfig()
    """Linear probe on each data set; the keys are those of `linear_eval`."""
    knn: KnnConfig = KnnConfig()
    """Vote of nearest neighbors on each data set; the keys are those of `knn_eval`."""
    gate: ValidateConfig = ValidateConfig()
    """What is expected of each of these data sets before it is used; the keys are those of `validate`."""

    @field_validator("datasets", "models", mode="before")
    @classmethod
    def _names_are_paths_and_metrics(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise ValueError("names with a block each are expected, such as {digits: {reader: mnist5k}}")
        for name in values:
            if not NAME.fullmatch(str(name)):
                raise ValueError(f"name {name!r}: letters, digits, - and _ are allowed")
        folded = [str(name).casefold() for name in values]
        for name, same in zip(values, folded, strict=True):
            if folded.count(same) > 1:  # one folder on some file systems
                raise ValueError(f"name {name!r} is given twice, but for its case")
        return {str(name): value for name, value in values.items()}

    @field_validator("models")
    @classmethod
    def _models_are_no_baselines(cls, models: dict[str, str]) -> dict[str, str]:
        for name, reference in models.items():
            if name in RESERVED:
                raise ValueError(f"name {name!r} is taken: {', '.join(RESERVED)} stand in the table already")
            if not reference:
                raise ValueError(f"name {name!r} has no model")
        return models

    def sized(self, size: int) -> Self:
        """Data sets without a size of their own are stored like the images that the encoder learned from."""
        for name, one in self.datasets.items():
            if "size" not in one.model_fields_set and one.stored_size != "auto" and one.stored_size < size:
                raise InputError(
                    f"transfer_eval.datasets.{name}.stored_size={one.stored_size} is smaller than dataset.size={size}, "
                    "which holds where no size is given"
                )
        full = {
            name: one if "size" in one.model_fields_set else one.model_copy(update={"size": size})
            for name, one in self.datasets.items()
        }
        return self.model_copy(update={"datasets": full})
