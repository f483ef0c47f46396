"""First contact: a folder of few images and nothing else given runs the whole road; what was given is refused where it does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

FAST = (
    "dataset.size=16,pretrain.images_seen=256,finetune.images_seen=64,extract_features.random_init_seeds=1,linear_eval.num_values=3,"
    "diagnose.view_images=10,diagnose.views=2,report.map=pca,runtime.threads=1,runtime.workers=1"
)


@pytest.fixture
def folder(project):
    """60 color images in two class folders: about 42 to train on."""
    random = np.random.default_rng(0)
    for number in range(60):
        path = project.root / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
    return "dataset.root=pictures"


def run(project, folder, *arguments, params=""):
    project.run("--env=image_folder", *arguments, params=",".join(filter(None, [FAST, folder, params])), tiny=False)


def test_the_whole_road_with_nothing_given(project, folder, refused):
    run(project, folder)
    [line] = [line for line in project.lines if "defaults that were not given" in line]
    assert line.startswith("pretrain: ")
    assert line.endswith("pretrain.batch_size 256 -> 32")
    assert (project.root / "data/08_reporting/report.html").is_file()
    metrics = json.loads((project.root / "data/08_reporting/metrics.json").read_text())
    assert {"linear", "knn", "finetune", "diagnose", "pretrain"} <= metrics.keys()
    model = json.loads((project.root / "data/06_models/config.json").read_text())
    assert model["parameters"]["pretrain"]["batch_size"] == 32
    run(project, folder, "--pipeline=pretrain")
    assert "pretrain: up to date" in project.lines
    message = refused(lambda: run(project, folder, "--pipeline=pretrain", params="pretrain.batch_size=256"))
    assert "pretrain.batch_size=256 is larger than the number of images to train on" in message


def test_twelve_images_are_warned_of(project, folder):
    for path in sorted((project.root / "pictures").rglob("*.png"))[::2] + sorted((project.root / "pictures").rglob("*.png"))[1::6]:
        path.unlink()
    run(project, folder, "--pipeline=pretrain", params="method=deepcluster_v2,pretrain.images_seen=32")
    assert project.said("validate: warning: images:", "at least 32")
    assert project.said("pretrain.batch_size 256 -> 8", "methods.deepcluster_v2.num_prototypes 300 -> ")
