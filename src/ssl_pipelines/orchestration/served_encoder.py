"""The MLflow flavour of an encoder: a DataFrame with one column `image` of encoded bytes in, a row of embedding or error out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch

from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import Unusable, decode
from ssl_pipelines.training.model import load_method, read_description
from ssl_pipelines.views.plain import plain_view

BATCH = 256


class ServedEncoder(mlflow.pyfunc.PythonModel):
    """Decodes as ingestion does, with its limits; a row that cannot be decoded does not fail the others."""

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["model"])
        self.data = read_description(folder)["data"]
        self.method = load_method(folder)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        embeddings: list[np.ndarray | None] = [None] * len(model_input)
        errors: list[str | None] = [None] * len(model_input)
        usable: list[int] = []
        pixels: list[np.ndarray] = []
        for row, content in enumerate(model_input["image"]):
            try:
                image, _ = decode(bytes(content), self.data["size"], self.data["channels"], DatasetConfig().max_pixels)
            except Unusable as problem:
                errors[row] = str(problem)
                continue
            usable.append(row)
            pixels.append(image)
        for start in range(0, len(usable), BATCH):
            images = torch.from_numpy(np.stack(pixels[start : start + BATCH]))
            with torch.inference_mode():
                z = self.method.encode(plain_view(images, self.method.image_size)).double().numpy()
            for row, vector in zip(usable[start : start + BATCH], z, strict=True):
                embeddings[row] = vector
        return pd.DataFrame({"embedding": embeddings, "error": errors}, index=model_input.index)


mlflow.models.set_model(ServedEncoder())
