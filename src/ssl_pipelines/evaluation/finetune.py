"""finetune: encoder and linear head trained on the labels, beside the same network from scratch on the same budget."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, new_folder
from ssl_pipelines.data import Sampler, Store
from ssl_pipelines.evaluation.config import FinetuneConfig
from ssl_pipelines.evaluation.features import prepare
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.scores import Outcome, Score, score_all, write_scores
from ssl_pipelines.methods.base import ParamGroup
from ssl_pipelines.methods.classifier import Classifier
from ssl_pipelines.training.model import load_method, random_method, read_description, save_classifier
from ssl_pipelines.training.optim import build_optimizer, clip_gradients, set_schedules
from ssl_pipelines.training.randomness import derive
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
from ssl_pipelines.views.engine import make_views
from ssl_pipelines.views.plain import plain_view
from ssl_pipelines.views.plan import ViewGroup, ViewPlan

ROOM = "finetune"
NETWORK = "finetuned"
TEST_BATCH = 512


def finetune(model: Path, store: Path, config: FinetuneConfig, seed: int, runtime: RuntimeConfig, out: Path) -> list[Score]:
    """Writes finetune.json, finetune.predictions.parquet and the fine-tuned network (a model folder with a classifier, finetuned/)
    into `out`. The last weights are scored, once. Raises NotApplicable
    where labels are missing, InputError where the loss is no longer a number."""
    frame, device = Frame.of(Store.open(store), seed, ROOM).thinned(config.labels_fraction, seed), set_up(runtime)
    steps = -(-config.images_seen // min(config.batch_size, len(frame.both)))
    answers: dict[str, Outcome] = {}
    with progress(ROOM, 2 * steps, "steps") as advance:
        for name, build in (("trained", load_method), ("from_scratch", partial(random_method, seed=seed))):
            method = build(model)
            if name == "from_scratch":
                prepare(method, frame.store, seed)
            network = Classifier(method, len(frame.store.classes), derive(seed, "finetune/head")).to(device)
            train(network, frame, config, seed, steps, advance)
            if name == "trained":
                tuned = network
            answers[name] = Outcome(predict(network, frame.store, frame.test), f"{_protocol(config, frame, steps)}; {_START[name]}")
    labels = frame.store.labels(frame.test)
    scores = score_all(ROOM, answers["trained"], {"from_scratch": [answers["from_scratch"]]}, labels, seed, frame.describe())
    with new_folder(out / NETWORK) as folder:
        save_classifier(tuned, read_description(model), len(frame.both), folder)
        if (model / "provenance.json").is_file():
            shutil.copy2(model / "provenance.json", folder / "provenance.json")
    write_scores(out, ROOM, scores, frame.test, labels, answers["trained"].predictions)
    return scores


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
