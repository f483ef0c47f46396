"""Few images: defaults that nobody gave fit them, what the user gave is kept or refused, and with enough images nothing changes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ingested
from projects import write_photos
from small_runs import method_names, runtime
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import Store
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.feed import Feed
from ssl_pipelines.training.model import build_method, load_method
from ssl_pipelines.training.pretrain import data_facts, pretrain

FEW = 24
ENOUGH = 4096  # images: more than any default asks for
TRICKIEST = ("deepcluster", "deepcluster_v2", "local_aggregation", "moco", "pic", "swav")  # by clusters, queues, windows, groups


def tree(name: str, **blocks) -> dict:
    cls = method_class(name)
    upstream = {key: "given" for key in cls.upstream if key not in getattr(cls, "trained_first", {})}
    pretraining = {"images_seen": 64, "upstream": upstream} | blocks.pop("pretrain", {})
    data = {"reader": "npz", "root": "images.npz", "size": 32, "fields": "saliency"}
    return {"method": name, "dataset": data, "pretrain": pretraining} | blocks


def facts(count: int) -> dict:
    return {"channels": 3, "size": 32, "mean": [0.5] * 3, "std": [0.2] * 3, "num_samples": count, "fields": ["saliency"]}


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """A store of 24 photographs of 32 px, all of them to train on but for validation."""
    folder = tmp_path_factory.mktemp("few")
    write_photos(folder / "photos.npz", FEW, 32)
    return ingested(folder, "photos.npz", 32)


@pytest.mark.parametrize("name", method_names())
def test_every_method_fits_few_images_by_default(name, monkeypatch):
    for init in ("trunc_normal_", "kaiming_normal_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *_, **__: tensor)  # slow, and not what is tested
    for count in (140, 20, 4):
        run = Parameters.of(tree(name)).for_images(count).run
        assert 2 <= run.pretrain.batch_size <= count
        run.method_config.check_run(run.pretrain.batch_size, run.backbone)
        run.method_config.check_data(count, 3)
    build_method(Parameters.of(tree(name)).for_images(20).run, facts(20), 0)


@pytest.mark.parametrize("name", method_names())
def test_with_enough_images_nothing_changes(name):
    asked = Parameters.of(tree(name))
    fitted = asked.for_images(ENOUGH)
    assert flatten(fitted.read_by(("run",))) == flatten(asked.read_by(("run",)))
    assert [one.run for one in fitted.first.values()] == [one.run for one in asked.first.values()]
    assert fitted.run.fitted_defaults(fitted.source) == []


@pytest.mark.parametrize("name", TRICKIEST)
def test_the_defaults_train_on_few_images(name, few, tmp_path):
    count = len(Store.open(few).pretraining_ids())
    assert count < FEW
    thin = {"backbone": {"width": 0.25}}
    six_epochs = {"images_seen": None, "epochs": 6}  # local_aggregation clusters from epoch 3 on
    run = Parameters.of(tree(name, pretrain=six_epochs, **thin)).for_images(count).run
    pretrain(run, runtime(checkpoint_every=1000, watch_every=1000), few, tmp_path)
    method = load_method(tmp_path / "final")
    features = method.encode(torch.rand(2, 3, 32, 32))
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("simclr", 140, ["pretrain.batch_size 256 -> 128"]),
        ("simclr", 256, []),
        ("simclr", 255, ["pretrain.batch_size 256 -> 128"]),
        ("mae", 140, []),
        ("deepcluster_v2", 140, ["pretrain.batch_size 256 -> 128", "methods.deepcluster_v2.num_prototypes 300 -> 70"]),
        ("deepcluster", 99, ["pretrain.batch_size 128 -> 64", "methods.deepcluster.num_clusters 100 -> 49"]),
        ("pic", 50, ["pretrain.batch_size 256 -> 32", "methods.pic.window_fraction 0.1 -> 0.17"]),
        ("local_aggregation", 80, ["pretrain.batch_size 128 -> 64", "methods.local_aggregation.images_per_cluster 43 -> 40"]),
        ("moco", 10, ["pretrain.batch_size 256 -> 8", "methods.moco.groups 8 -> 4"]),
        ("swav", 600, ["methods.swav.queue_size 1024 -> 256"]),
    ],
)
def test_what_was_fitted_is_named(name, count, expected):
    fitted = Parameters.of(tree(name)).for_images(count)
    assert fitted.run.fitted_defaults(fitted.source) == expected


@pytest.mark.parametrize(
    ("name", "batch", "expected"),
    [("moco", 100, "methods.moco.groups 8 -> 5"), ("moco_v2", 12, "methods.moco_v2.groups 8 -> 6"), ("swav", 100, "queue_size 1024 -> 1000"),
     ("swav", 2048, "queue_size 1024 -> 2048")],
)  # fmt: skip
def test_defaults_fit_a_batch_that_was_given(name, batch, expected):
    values = tree(name, pretrain={"batch_size": batch})
    [line] = RunConfig.resolve({key: values[key] for key in ("method", "pretrain")}, 32).fitted_defaults(values)
    assert line.endswith(expected)


@pytest.mark.parametrize(
    ("name", "own", "line"),
    [
        ("swav", {"num_prototypes": 100}, "methods.swav.num_prototypes=100: allowed is 2 to 20"),
        ("deepcluster", {"num_clusters": 100}, "methods.deepcluster.num_clusters=100: allowed is 2 to 20"),
        ("deepcluster_v2", {"num_prototypes": 300}, "methods.deepcluster_v2.num_prototypes=300: allowed is 2 to 20"),
        ("local_aggregation", {"images_per_cluster": 43}, "images_per_cluster=43: allowed is 2 to 10"),
        ("moco", {"queue": 64}, "methods.moco.queue=64 is larger than the number of training images"),
        ("pic", {"window_fraction": 0.1, "visits": 8}, "methods.pic.window_fraction=0.1 of 20 images"),
        ("cmc", {"negatives": 4096}, "methods.cmc.negatives=4096 are more than the training images"),
    ],
)
def test_what_was_given_is_refused_even_where_it_is_the_default(name, own, line):
    run = Parameters.of(tree(name, methods={name: own}, pretrain={"batch_size": 16})).for_images(20).run
    with pytest.raises(InputError) as caught:
        build_method(run, facts(20), 0)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_batch_that_was_given_is_refused_even_where_it_is_the_default(few):
    run = Parameters.of(tree("simclr", pretrain={"batch_size": 256})).for_images(140).run
    with pytest.raises(InputError, match=r"pretrain\.batch_size=256 is larger than the number of images to train on"):
        Feed(Store.open(few), run.method_config.views, run.pretrain.batch_size, 1, 0, torch.device("cpu"))


def test_of_two_keys_one_given_the_other_fits():
    fewer = Parameters.of(tree("pic", methods={"pic": {"window_fraction": 0.1}})).for_images(45).run
    assert fewer.method_config.model_dump()["visits"] == 4
    wider = Parameters.of(tree("pic", methods={"pic": {"visits": 20}})).for_images(50).run
    assert math.isclose(wider.method_config.model_dump()["window_fraction"], 0.41)


def test_a_run_trained_first_fits_too():
    fitted = Parameters.of(tree("beit")).for_images(20)
    assert {one.run.method: one.run.pretrain.batch_size for one in fitted.first.values()} == {"dvae": 16}


@pytest.mark.parametrize(("count", "found"), [(1, "there is 1 image to train on"), (0, "there are 0 images to train on")])
def test_one_image_is_none(count, found):
    with pytest.raises(InputError, match=rf"{found} \(splits train and unlabeled\); at least 2 are needed"):
        Parameters.of(tree("simclr")).for_images(count)


def test_what_is_impossible_is_said():
    run = Parameters.of(tree("local_aggregation")).for_images(3).run
    with pytest.raises(InputError, match=r"needs two clusters of 2 images, 4 images to train on, and there are 3"):
        build_method(run, facts(3), 0)


def test_a_fitted_run_is_stored_as_it_was_trained(few):
    store = Store.open(few)
    run = Parameters.of(tree("deepcluster_v2")).for_images(20).run
    again = RunConfig.load(run.dump())
    assert again == run
    method = build_method(again, data_facts(store) | {"num_samples": 20}, 0)
    assert np.shape(method.get_buffer("centroids"))[1] == 10
