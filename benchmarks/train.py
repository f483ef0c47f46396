"""SimCLR end to end against lightly, Lightning and a DataLoader with two workers: the same small encoder, batch 256, 32 px."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Bar, Row, apart, row, turns
from benchmarks.stores import photo_store, simclr_loop, timed_training
from ssl_pipelines.data import Store

BAR = Bar("train_lightly", 2.5)
BATCH, WORKERS = 256, 2
SPINNING = {"GOMP_SPINCOUNT": "300000"}  # OpenMP's own default: lightly's users have no package that sets how threads wait


class Photos(Dataset[Any]):
    def __init__(self, store: Store):
        self.pixels = store.gather(store.pretraining_ids()).fields["image"]
        self.transform = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> list[Tensor]:
        views: list[Tensor] = self.transform(Image.fromarray(self.pixels[index]))
        return views


class Module(lightning.LightningModule):
    """SimCLR as lightly's documentation writes it."""

    def __init__(self, encoder: nn.Module, projector: nn.Module):
        super().__init__()
        self.encoder, self.projector, self.criterion = encoder, projector, NTXentLoss(temperature=0.5)
        self.ends: list[float] = []
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x1, x2 = batch
        loss: Tensor = self.criterion(self.projector(self.encoder(x1)), self.projector(self.encoder(x2)))
        self.log("train_loss", loss)
        self.losses.append(float(loss.detach()))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)


def theirs(store: Path, warm: int, steps: int) -> tuple[float, list[float]]:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    method = simclr_loop(store, "resnet_small", 1).method
    module = Module(method.encoder, method.projector)
    photos = Photos(Store.open(store))
    start = "fork" if sys.platform == "linux" else None  # the user's default; within a spawned process it would be spawn
    workers = {"num_workers": WORKERS, "persistent_workers": True, "multiprocessing_context": start}
    loader = DataLoader(photos, BATCH, shuffle=True, drop_last=True, **workers)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    lightning.Trainer(max_steps=warm + steps, accelerator="cpu", **quiet).fit(module, loader)
    return BATCH * steps / (module.ends[-1] - module.ends[warm - 1]), module.losses


def run(quick: bool) -> list[Row]:
    warm, steps = (1, 4) if quick else (6, 30)
    curves: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        given = photo_store(Path(folder), 4000), warm, steps
        with apart(timed_training, *given) as mine, apart(theirs, *given, environment=SPINNING) as other:

            def rate(name: str, measured: Callable[[], tuple[float, list[float]]]) -> Callable[[], float]:
                def one() -> float:
                    found, curves[name] = measured()
                    return found

                return one

            rates = turns({"ours": rate("ours", mine), "lightly": rate("lightly", other)}, warm=False)
    last = {name: sum(losses[-3:]) / 3 for name, losses in curves.items()}
    detail = f"{steps} steps; loss then {last['ours']:.2f} against {last['lightly']:.2f}"
    return [row(BAR, rates["ours"], rates["lightly"], detail, "images/s")]
