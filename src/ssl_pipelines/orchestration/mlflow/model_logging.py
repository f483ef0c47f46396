"""The encoder as an MLflow model: no pickle, a signature, an example, and code that loads weights alone."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ssl_pipelines.artifacts.code import ROOT
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.eval_layer import recorded_eval_layer, write_eval_layer
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import default_store
from ssl_pipelines.orchestration.provenance import versions

if TYPE_CHECKING:
    import pandas as pd

SERVED = Path(__file__).resolve().with_name("served_encoder.py")
EXAMPLES = 2
LIMITS = {"max_images": 1024, "max_megabytes": 64}  # of one request, where the model is served
NEEDED = ("torch", "torchvision", "timm")


def log_encoder(tracker: Tracker, model: Path, store: Path, eval_layer: str | None = None) -> str:
    """Logs the pyfunc flavour into the open run; returns its `models:/` URI.

    `eval_layer`: the layer that it serves, which goes with the model as eval_layer.json. None: what the model itself records; before its
    evaluation that may be nothing, and then it says so and serves `final`."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema(
            [ColSpec(Array(DataType.double), "embedding", required=False), ColSpec(DataType.string, "error", required=False)]
        ),
    )
    assert tracker.run_id is not None
    with tempfile.TemporaryDirectory() as place:
        parts = Path(place) / "encoder"
        parts.mkdir()
        for name in ("encoder.safetensors", "method.safetensors", "config.json"):
            shutil.copy2(model / name, parts / name)
        if eval_layer is not None:
            write_eval_layer(parts, eval_layer)
        recorded = recorded_eval_layer(parts)
        copied = Path(place) / ROOT.name  # without caches: what is logged is source
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns("__pycache__"))
        with default_store(tracker.uri), mlflow.start_run(run_id=tracker.run_id):
            info = mlflow.pyfunc.log_model(
                name="encoder",
                python_model=str(copied / SERVED.relative_to(ROOT)),
                artifacts={"model": str(parts)},
                code_paths=[str(copied)],
                signature=signature,
                model_config={**LIMITS, "eval_layer": recorded},  # MLflow overrides keys that are there, and no others
                metadata={"eval_layer": recorded or FINAL},
                input_example=example(store),
                pip_requirements=[f"{name}=={number}" for name, number in versions().items() if name in NEEDED]
                + ["pandas", "pillow", "pydantic", "safetensors"],
            )
        tracker.client.update_run(tracker.run_id, status="RUNNING")
    return str(info.model_uri)


def example(store: Path) -> pd.DataFrame:
    """Two images of the store as PNG bytes."""
    import pandas as pd

    data = Store.open(store)
    rows = []
    for pixels in data.gather(data.pretraining_ids()[:EXAMPLES]).fields["image"]:
        out = io.BytesIO()
        image = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]
        Image.fromarray(image).save(out, "PNG")
        rows.append(out.getvalue())
    return pd.DataFrame({"image": rows})
