"""extract_features writes what encode gives, and a fair random initialization."""

import json
import logging

import numpy as np
import pytest
import torch
from torch import nn

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation import features as features_module
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.features import extract_features, raw_pixels, set_statistics
from ssl_pipelines.methods.contrastive.simclr import SimCLR
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.runtime import RuntimeConfig
from ssl_pipelines.views.plain import plain_view
from tests.evaluation.evaluation_samples import make_model, make_store

CPU = RuntimeConfig(accelerator="cpu")


def images_of(store, ids):
    return plain_view(torch.from_numpy(store.gather(ids).fields["image"]), store.size)


def extract(model, store, out, batch_size=17, seeds=2, seed=5):
    out.mkdir()
    extract_features(model, store, ExtractConfig(batch_size=batch_size, random_init_seeds=seeds), seed, CPU, out)
    return out


def test_rows_are_what_encode_gives(model, store, tmp_path):
    out, opened, method = extract(model, store, tmp_path / "out"), Store.open(store), load_method(model)
    for split in ("train", "validation", "test", "unlabeled"):
        ids, rows = opened.ids(split), np.load(out / "trained" / "final" / f"{split}.npy")
        assert np.array_equal(np.load(out / "trained" / "final" / f"{split}.ids.npy"), ids)
        with torch.no_grad():
            direct = method.encode(images_of(opened, ids)).numpy()
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, direct, rtol=1e-5, atol=1e-6)
        assert rows.std(axis=0).max() > 1e-3  # not one row many times
    about = json.loads((out / "stages.json").read_text())
    dim = method.encoder.dim
    assert about["judged_at"] == "final"
    assert about["stages"] == [{"name": "final", "dim": dim, "pooling": "average"}]
    assert about["raw_pixels"] == {"dim": 12 * 12 * 3, "size": 12}


def test_no_more_than_a_batch_is_read_at_a_time(model, store, tmp_path, monkeypatch):
    sizes, gather = [], Store.gather
    monkeypatch.setattr(Store, "gather", lambda self, ids: sizes.append(len(ids)) or gather(self, ids))
    extract(model, store, tmp_path / "out", batch_size=16)
    assert max(sizes) == 16


def test_raw_pixels_are_averages_of_areas():
    images = torch.randint(0, 256, (2, 64, 64, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    rows = raw_pixels(images)["pixels"].reshape(2, 3, 32, 32)
    expected = images.double().reshape(2, 32, 2, 32, 2, 3).mean((2, 4)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(rows.double(), expected, atol=1e-6, rtol=0)
    small = images[:, :12, :12]
    torch.testing.assert_close(raw_pixels(small)["pixels"].reshape(2, 3, 12, 12), small.permute(0, 3, 1, 2) / 255)


def test_random_initializations_differ_and_repeat(model, store, tmp_path):
    one, two = extract(model, store, tmp_path / "one"), extract(model, store, tmp_path / "two")
    rows = [np.load(one / source / "final" / "train.npy") for source in ("trained", "random_init/0", "random_init/1")]
    assert not np.allclose(rows[0], rows[1])
    assert not np.allclose(rows[1], rows[2])
    for path in one.rglob("*.npy"):
        assert np.array_equal(np.load(path), np.load(two / path.relative_to(one)))


def test_statistics_are_those_of_train_images(model, store):
    opened = Store.open(store)
    method = random_method(model, 0)
    weights = {name: value.clone() for name, value in method.named_parameters()}
    set_statistics(method, opened, 45, 0, torch.device("cpu"))
    first = method.encoder.stem[1]
    with torch.no_grad():
        x = method.encoder.stem[0](method.encoder.normalize(images_of(opened, opened.ids("train"))))
    torch.testing.assert_close(first.running_mean, x.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.running_var, x.var((0, 2, 3)), atol=1e-3, rtol=2e-2)  # mean over batches, so not quite
    assert all(torch.equal(value, weights[name]) for name, value in method.named_parameters())
    norms = [part for part in method.modules() if isinstance(part, nn.BatchNorm2d)]
    assert all(norm.momentum == 0.1 and not norm.training for norm in norms)


@pytest.mark.parametrize("counts", [{"train": 60, "test": 20}, {"unlabeled": 60}])
def test_random_initializations_have_their_statistics_set(model, tmp_path, counts):
    store = make_store(tmp_path / "s", counts)
    out, opened = extract(model, store, tmp_path / "out", seeds=1), Store.open(store)
    method = random_method(model, 5).eval()
    split = next(iter(counts))
    ids, rows = opened.ids(split), np.load(out / "random_init" / "0" / "final" / f"{split}.npy")
    with torch.no_grad():
        unset = method.encode(images_of(opened, ids)).numpy()
        set_statistics(method, opened, 17, 5, torch.device("cpu"))
        np.testing.assert_allclose(rows, method.encode(images_of(opened, ids)).numpy(), rtol=1e-5, atol=1e-6)
    assert not np.allclose(rows, unset, atol=1e-2)


def test_unlabeled_folders_have_features_too(model, tmp_path):
    store = make_store(tmp_path / "s", {"unlabeled": 40}, classes=[])
    out = extract(model, store, tmp_path / "out")
    assert [path.name for path in sorted((out / "trained" / "final").iterdir())] == ["unlabeled.ids.npy", "unlabeled.npy"]


def test_every_stage_is_written_where_the_best_is_chosen(model, store, tmp_path, monkeypatch):
    monkeypatch.setattr(SimCLR, "judged_at", "best")
    out, opened = extract(model, store, tmp_path / "out"), Store.open(store)
    about = json.loads((out / "stages.json").read_text())
    assert about["judged_at"] == "best"
    assert [stage["name"] for stage in about["stages"]] == ["layer1", "layer2", "layer3", "layer4"]
    ids, method = opened.ids("test"), load_method(model)
    with torch.no_grad():
        direct = method.encoder.stages(images_of(opened, ids))
    for stage in about["stages"]:
        rows = np.load(out / "trained" / stage["name"] / "test.npy")
        assert rows.shape == (60, stage["dim"])
        np.testing.assert_allclose(rows, direct[stage["name"]].numpy(), rtol=1e-5, atol=1e-6)
        assert (out / "random_init" / "1" / stage["name"] / "test.npy").is_file()


def test_a_transformer_without_batch_norm(store, tmp_path):
    model = make_model(tmp_path / "mae", "mae", {"name": "vit_mini", "patch_size": 6, "depth": 1})
    out = extract(model, store, tmp_path / "out")
    assert json.loads((out / "stages.json").read_text())["stages"] == [{"name": "final", "dim": 192, "pooling": "average"}]


def test_one_line_in_the_log_where_there_is_no_terminal(model, store, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "ssl_pipelines"):
        extract(model, store, tmp_path / "out", seeds=1)
    lines = [record.message for record in caplog.records if record.name == "ssl_pipelines"]
    assert len(lines) == 1
    assert lines[0].startswith("extract_features: 612 images in ")  # 204 images, three sources


@pytest.mark.parametrize("name", ["STATISTICS_IMAGES"])
def test_statistics_read_a_bounded_number_of_images(model, store, monkeypatch, name):
    monkeypatch.setattr(features_module, name, 20)
    seen, gather = [], Store.gather
    monkeypatch.setattr(Store, "gather", lambda self, ids: seen.extend(ids) or gather(self, ids))
    set_statistics(random_method(model, 0), Store.open(store), 8, 0, torch.device("cpu"))
    assert len(seen) == 20
    assert set(seen) <= set(Store.open(store).ids("train"))
