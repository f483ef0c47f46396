"""The MLflow flavour of an encoder: a DataFrame with one column `image` of encoded bytes in, a row of embedding or error out.

Behind a server a request is limited: `model_config` of the logged model, which SERVING_MODEL_CONFIG overrides (JSON) when serving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from ssl_pipelines.inference.encoder import ImageEncoder

BATCH = 256
SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"  # set by MLflow's scoring server
LIMITS = {"max_images": 1024, "max_megabytes": 64}  # of one request


class ServedEncoder(mlflow.pyfunc.PythonModel):
    """Decodes as ingestion does, with its limits; a row that cannot be decoded does not fail the others."""

    def load_context(self, context: Any) -> None:
        self.encoder = ImageEncoder(Path(context.artifacts["model"]))
        self.limits = LIMITS | dict(context.model_config or {})

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        contents = list(model_input["image"])
        if os.environ.get(SERVING) == "true":
            self._check(contents)
        embeddings: list[np.ndarray | None] = []
        errors: list[str | None] = []
        for start in range(0, len(contents), BATCH):
            part = self.encoder.embed_contents(contents[start : start + BATCH])
            vectors = iter(part.vectors.astype(np.float64))
            embeddings += [next(vectors) if error is None else None for error in part.errors]
            errors += part.errors
        return pd.DataFrame({"embedding": embeddings, "error": errors}, index=model_input.index, dtype=object)

    def _check(self, contents: list[Any]) -> None:
        """The body has been read by now, which MLflow's server does whatever its size: this bounds what is decoded and computed."""
        images, megabytes = self.limits["max_images"], self.limits["max_megabytes"]
        total = sum(len(content) for content in contents if isinstance(content, (bytes, str))) / 1e6
        if not contents:
            raise _refused("the request holds no image")
        if len(contents) > images:
            raise _refused(f"{len(contents):,} images in one request, allowed are {images:,}; send them in several")
        if total > megabytes:
            raise _refused(f"{total:,.1f} MB of images in one request, allowed are {megabytes:,}; send them in several")


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(ServedEncoder())
