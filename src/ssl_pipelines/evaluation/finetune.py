"""finetune: encoder and linear head trained on the labels, beside the same network from scratch on the same budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Sampler, Store
from ssl_pipelines.evaluation.config import FinetuneConfig
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.scores import Outcome, Score, score_all, write_scores
from ssl_pipelines.methods.base import Method, ParamGroup
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.optim import build_optimizer, clip_gradients, set_schedules
from ssl_pipelines.training.randomness import derive
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
from ssl_pipelines.views.engine import make_views
from ssl_pipelines.views.plain import plain_view
from ssl_pipelines.views.plan import ViewGroup, ViewPlan

ROOM = "finetune"
TEST_BATCH = 512


def finetune(model: Path, store: Path, config: FinetuneConfig, seed: int, runtime: RuntimeConfig, out: Path) -> list[Score]:
    """Writes finetune.json and finetune.predictions.parquet into `out`. The last weights are scored, once. Raises NotApplicable
    where labels are missing, InputError where the loss is no longer a number."""
    frame, device = Frame.of(Store.open(store), seed, ROOM), set_up(runtime)
    steps = -(-config.images_seen // min(config.batch_size, len(frame.both)))
    answers = {}
    with progress(ROOM, 2 * steps, "steps") as advance:
        for name, build in (("trained", load_method), ("from_scratch", partial(random_method, seed=seed))):
            network = Classifier(build(model), len(frame.store.classes), seed).to(device)
            train(network, frame, config, seed, steps, advance)
            answers[name] = Outcome(predict(network, frame.store, frame.test), f"{_protocol(config, frame, steps)}; {_START[name]}")
    labels = frame.store.labels(frame.test)
    scores = score_all(ROOM, answers["trained"], {"from_scratch": [answers["from_scratch"]]}, labels, seed, frame.describe())
    write_scores(out, ROOM, scores, frame.test, labels, answers["trained"].predictions)
    return scores


class Classifier(nn.Module):
    """What `encode` uses of a method, and a linear head. (B, C, H, W) in [0, 1] -> (B, K)."""

    def __init__(self, method: Method, num_classes: int, seed: int):
        super().__init__()
        self.method = method
        probe = torch.zeros(2, method.in_channels, method.image_size, method.image_size)
        features = method.eval().encode(probe)
        if not features.requires_grad:  # a teacher: never trained by gradients so far
            method.requires_grad_(True)
            features = method.encode(probe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "finetune/head"))
            self.head = nn.Linear(features.shape[1], num_classes)
        keep_reached(method, features)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.method.encode(images))
        return out


def keep_reached(method: Method, features: Tensor) -> None:
    """Freezes every parameter on which `features` do not depend: projectors, decoders, predictors."""
    params = [p for p in method.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(features.sum(), params, allow_unused=True)
    for param, gradient in zip(params, gradients, strict=True):
        param.requires_grad_(gradient is not None)


def train(network: Classifier, frame: Frame, config: FinetuneConfig, seed: int, steps: int, advance: Callable[[int], None]) -> None:
    """`steps` steps on train and validation; the draws of a step depend on (seed, step) alone."""
    device = network.head.weight.device
    ids, size = frame.both, network.method.image_size
    sampler = Sampler(ids, min(config.batch_size, len(ids)), derive(seed, "finetune/order"))
    plan = ViewPlan(size=size, groups={"global": ViewGroup(recipe=config.augmentation)}).resolved(size)
    optimizer = build_optimizer([ParamGroup(network)], config.optimizer)
    network.train()
    for step in range(steps):
        drawn = sampler.batch_ids(step)
        images = torch.from_numpy(frame.store.gather(drawn).fields["image"]).to(device)
        batch = make_views(images, torch.from_numpy(drawn), plan, derive(seed, "finetune"), step, slice(None), len(drawn))
        targets = torch.from_numpy(frame.store.labels(drawn)).to(device)
        set_schedules(optimizer, config.optimizer, len(drawn), step, steps)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derive(seed, "finetune/noise", step))
            loss = F.cross_entropy(network(batch.views["global"][0]), targets)
        if not loss.isfinite():
            rate = config.optimizer.lr
            raise InputError(f"finetune: the loss is {loss.item()} at step {step} of {steps}; lower finetune.optimizer.lr={rate:g}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(optimizer, config.optimizer)
        optimizer.step()
        advance(1)


@torch.no_grad()
def predict(network: Classifier, store: Store, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) classes, in evaluation mode, without augmentation."""
    network.eval()
    parts = []
    for start in range(0, len(ids), TEST_BATCH):
        images = torch.from_numpy(store.gather(ids[start : start + TEST_BATCH]).fields["image"]).to(network.head.weight.device)
        parts.append(network(plain_view(images, network.method.image_size)).argmax(dim=1).cpu().numpy())
    return np.concatenate(parts)


_START = {"trained": "from the pretrained encoder", "from_scratch": "from fresh weights, same budget and draws"}


def _protocol(config: FinetuneConfig, frame: Frame, steps: int) -> str:
    batch, chosen, recipe = min(config.batch_size, len(frame.both)), config.optimizer, config.augmentation
    return (
        f"whole encoder and linear head on fit and validation, {steps * batch:,} images drawn ({steps:,} steps of {batch}), "
        f"{chosen.name}, lr {chosen.lr:g}, weight decay {chosen.weight_decay:g}, "
        f"warm-up {chosen.warmup_fraction:.0%}, {chosen.schedule}; "
        f"crop {recipe.crop}, flip {recipe.flip:g}; fp32; last weights"
    )
