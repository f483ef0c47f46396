"""finetune: encoder and linear head trained on the labels, beside the same network from scratch on the same budget."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError, new_folder
from ssl_pipelines.data import Sampler, Store
from ssl_pipelines.evaluation.config import FinetuneConfig, FinetuneRecipe
from ssl_pipelines.evaluation.features import prepare
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.layers import freeze, groups, to_training_mode
from ssl_pipelines.evaluation.mixing import softened
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.protocols import KIND, STARTS
from ssl_pipelines.evaluation.scores import Outcome, Score, score_all, write_scores
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
        for name in STARTS:
            recipe = recipe_of(name, config)
            network = start(name, model, frame.store, recipe, seed).to(device)
            train(network, frame, recipe, seed, steps, advance)
            if name == "trained":
                tuned = network
            answers[name] = Outcome(predict(network, frame.store, frame.test), protocol_of(recipe, frame, steps, name))
    labels = frame.store.labels(frame.test)
    scores = score_all(ROOM, answers["trained"], {"from_scratch": [answers["from_scratch"]]}, labels, seed, frame.facts())
    with new_folder(out / NETWORK) as folder:
        save_classifier(tuned, read_description(model), len(frame.both), folder)
        if (model / "provenance.json").is_file():
            shutil.copy2(model / "provenance.json", folder / "provenance.json")
    write_scores(out, ROOM, scores, frame.test, labels, answers["trained"].predictions)
    return scores


def recipe_of(name: str, recipe: FinetuneRecipe) -> FinetuneRecipe:
    """From scratch every layer learns, at one rate: in fresh weights there is nothing to keep."""
    return recipe if name == "trained" else recipe.model_copy(update={"trainable": "all", "layer_decay": 1.0})


def start(name: str, model: Path, store: Store, recipe: FinetuneRecipe, seed: int) -> Classifier:
    """The network before its first step: "trained" or "from_scratch". Raises InputError for stages that the encoder has not."""
    method = load_method(model) if name == "trained" else random_method(model, seed)
    if name == "from_scratch":
        prepare(method, store, seed)
    network = Classifier(method, len(store.classes), derive(seed, "finetune/head"), recipe.stage)
    freeze(network, recipe)
    return network


def train(network: Classifier, frame: Frame, recipe: FinetuneRecipe, seed: int, steps: int, advance: Callable[[int], None]) -> None:
    """`steps` steps on train and validation; the draws of a step depend on (seed, step) alone."""
    device = network.head.weight.device
    ids, size = frame.both, network.method.image_size
    sampler = Sampler(ids, min(recipe.batch_size, len(ids)), derive(seed, "finetune/order"))
    plan = ViewPlan(size=size, groups={"global": ViewGroup(recipe=recipe.augmentation)}).resolved(size)
    optimizer = build_optimizer(groups(network, recipe.layer_decay), recipe.optimizer)
    to_training_mode(network)
    for step in range(steps):
        drawn = sampler.batch_ids(step)
        images = torch.from_numpy(frame.store.gather(drawn).fields["image"]).to(device)
        batch = make_views(images, torch.from_numpy(drawn), plan, derive(seed, "finetune"), step, slice(None), len(drawn))
        labels = torch.from_numpy(frame.store.labels(drawn)).to(device)
        seen, targets = softened(batch.views["global"][0], labels, network.head.out_features, recipe, seed, step)
        set_schedules(optimizer, recipe.optimizer, len(drawn), step, steps)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derive(seed, "finetune/noise", step))
            loss = F.cross_entropy(network(seen), targets)
        if not loss.isfinite():
            rate = recipe.optimizer.lr
            raise InputError(f"finetune: the loss is {loss.item()} at step {step} of {steps}; lower finetune.optimizer.lr={rate:g}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(optimizer, recipe.optimizer)
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


def protocol_of(recipe: FinetuneRecipe, frame: Frame, steps: int, name: str) -> dict[str, Any]:
    """The settings fixed before the first step; options that are off are left out."""
    batch, optimizer, views = min(recipe.batch_size, len(frame.both)), recipe.optimizer, recipe.augmentation
    drawn = {"images_drawn": steps * batch, "steps": steps, "batch_size": batch}
    rates = {"optimizer": optimizer.name, "lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
    course = {"warmup_fraction": optimizer.warmup_fraction, "schedule": optimizer.schedule, "crop": views.crop, "flip": views.flip}
    more = {
        "head_on": recipe.stage,
        "layer_decay": recipe.layer_decay if recipe.layer_decay < 1 else None,
        "label_smoothing": recipe.label_smoothing or None,
        "mixup": recipe.mixup or None,
        "cutmix": recipe.cutmix or None,
    }
    extras = {key: value for key, value in more.items() if value is not None}
    return {KIND: "finetune", "start": name, "trainable": recipe.trainable} | drawn | rates | course | extras
