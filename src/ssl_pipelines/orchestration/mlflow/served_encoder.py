"""The MLflow flavour of an encoder: a DataFrame with one column `image` of encoded bytes in, a row of embedding or error out.

The model's configuration holds the layer that is read (`eval_layer`) and, behind MLflow's server, the limits of a request (`max_images`,
`max_megabytes`); SERVING_MODEL_CONFIG may hold other values as JSON. The server itself reads a body of any size before the model sees it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import math
import os
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from ssl_pipelines.data.decode import Unusable
from ssl_pipelines.inference.encoder import ImageEncoder

BATCH = 256
log = logging.getLogger("ssl_pipelines")
SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"  # set by MLflow's server
BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]+={0,2}\s*")
PPM = re.compile(rb"P[1-6]\s")  # the one image format that may look like it


class ServedEncoder(mlflow.pyfunc.PythonModel):
    """Decodes as ingestion does, with its limits; a row that cannot be decoded does not fail the others."""

    def load_context(self, context: Any) -> None:
        self.limits = dict(context.model_config or {})
        self.encoder = ImageEncoder(Path(context.artifacts["model"]), eval_layer=self.limits.get("eval_layer"))
        log.info("serving: eval layer %s, %d numbers an image", self.encoder.eval_layer, self.encoder.dim)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        contents = list(model_input["image"])
        if os.environ.get(SERVING) == "true":
            contents = self._of_a_request(contents)
        embeddings: list[np.ndarray | None] = []
        errors: list[str | None] = []
        for start in range(0, len(contents), BATCH):
            part = self.encoder.embed_contents(contents[start : start + BATCH])
            vectors = iter(part.vectors.astype(np.float64))
            embeddings += [next(vectors) if error is None else None for error in part.errors]
            errors += part.errors
        return pd.DataFrame({"embedding": embeddings, "error": errors}, index=model_input.index, dtype=object)

    def _of_a_request(self, contents: list[Any]) -> list[Any]:
        """The images as bytes. Raises Refused, which is status 400, where there are none or too many."""
        images, megabytes = (self.limits.get(key, math.inf) for key in ("max_images", "max_megabytes"))
        if not contents:
            raise Refused("the request holds no image")
        if len(contents) > images:
            raise Refused(f"{len(contents):,} images in one request, allowed are {images:,}; send them in several")
        contents = [_as_bytes(content) for content in contents]
        total = sum(len(content) for content in contents if isinstance(content, bytes)) / 1e6
        if total > megabytes:
            raise Refused(f"{total:,.1f} MB of images in one request, allowed are {megabytes:,}; send them in several")
        return contents


class Refused(MlflowException):
    """Its message is final: the server would put the whole request before it."""

    def __init__(self, message: str):
        self._message = message
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        return self._message

    @message.setter
    def message(self, value: str) -> None:
        pass


def _as_bytes(content: Any) -> Any:
    """The server decodes base64 in data frames; in `inputs`, `instances` and CSV it leaves that to the model."""
    text = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if not isinstance(text, bytes):
        return content
    if BASE64.fullmatch(text) and not PPM.match(text):
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(text)
    if not text:
        return Unusable("no bytes: nothing was sent, or it is not base64")
    return Unusable("text that is not base64") if isinstance(content, str) else text


mlflow.models.set_model(ServedEncoder())
