"""diagnose: planted embeddings whose numbers are known, and the room from stored features to its files."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ssl_pipelines.algorithms.spectra import effective_rank
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import DiagnoseConfig, ExtractConfig
from ssl_pipelines.evaluation.diagnose import LEAST, ORDER, Look, Network, Sample, _network, _whole, diagnose
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.features import extract_features, set_statistics
from ssl_pipelines.evaluation.measures import Measured, Resampling, labeled, mean_of
from ssl_pipelines.evaluation.transformed import AS_IT_IS, TRANSFORMS, embed_all
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.runtime import RuntimeConfig
from ssl_pipelines.views.plan import ViewRecipe
from tests.evaluation.evaluation_samples import blobs, make_model, make_store, write_store

CPU, DEVICE = RuntimeConfig(accelerator="cpu"), torch.device("cpu")
CONFIG = DiagnoseConfig(view_images=30, views=3, neighbors=5)
LABELED = {"neighbor_purity", "kmeans_nmi", "kmeans_ari"}
SPECTRAL = {"rankme", "effective_dimension", "alpha", "alpha_r2"}


MIRRORED = ViewRecipe(crop="none", flip=0.5)


def look_at(store, embed, recipes=(MIRRORED,), project=None, views=4):
    sample = Sample.of(Store.open(store), CONFIG, 0)
    return Look(sample, 12, list(recipes), views, 0, DEVICE, Resampling(0)).at(Network(embed, project, "planted"))


def test_an_embedding_blind_to_mirrors_is_invariant_to_them_alone(store):
    found = look_at(store, lambda x: (x + x.flip(3)).flatten(1))
    assert found["invariance_flip"].value == pytest.approx(1, abs=1e-6)
    assert found["alignment"].value == pytest.approx(0, abs=1e-6)  # its views are mirrored or not, nothing else
    for name in set(TRANSFORMS) - {"flip"}:
        assert found[f"invariance_{name}"].value < 0.999, name
    plain = look_at(store, lambda x: x.flatten(1))
    assert plain["invariance_flip"].value < 0.99
    assert plain["alignment"].value > 0.001


def test_an_embedding_of_luma_is_invariant_to_the_loss_of_color(store):
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    found = look_at(store, lambda x: (x * luma).sum(1).flatten(1))
    assert found["invariance_grayscale"].value == pytest.approx(1, abs=1e-6)
    assert found["invariance_color_jitter"].value < 0.9999


def test_a_collapsed_embedding_looks_perfect_and_is_known_by_what_stands_beside(store):
    found = look_at(store, lambda x: torch.ones(len(x), 8))
    assert found["invariance_crop"].value == pytest.approx(1)
    assert found["different_images_cosine"].value == pytest.approx(1)
    assert found["alignment"].value == pytest.approx(0, abs=1e-12)
    assert found["uniformity"].value == pytest.approx(0, abs=1e-12)
    assert found["lidar"].value == 0


def test_means_are_over_images_with_intervals_about_them(store):
    found = look_at(store, lambda x: x.flatten(1))
    opened = Store.open(store)
    ids = Sample.of(opened, CONFIG, 0).viewed
    pixels = torch.from_numpy(opened.gather(ids).fields["image"]).permute(0, 3, 1, 2).double()
    flat = [x.flatten().numpy() for x in pixels]
    flipped = [x.flip(2).flatten().numpy() for x in pixels]

    def cos(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    expected = np.mean([cos(a, b) for a, b in zip(flat, flipped, strict=True)])
    assert found["invariance_flip"].value == pytest.approx(expected, rel=1e-6)
    pairs = [cos(flat[i], flat[j]) for i in range(len(flat)) for j in range(len(flat)) if i != j]
    assert found["different_images_cosine"].value == pytest.approx(np.mean(pairs), rel=1e-6)
    assert found["uniformity"].value == pytest.approx(np.log(np.mean([np.exp(-2 * (2 - 2 * c)) for c in pairs])), rel=1e-6)
    for name in ("invariance_flip", "different_images_cosine", "uniformity", "alignment"):
        low, high = np.percentile(found[name].resampled, [2.5, 97.5])
        assert low < found[name].value < high


def test_views_that_do_not_differ_give_neither_alignment_nor_lidar(store):
    found = look_at(store, lambda x: x.flatten(1), [AS_IT_IS])
    assert not {"alignment", "lidar"} & found.keys()
    assert "invariance_crop" in found


def test_ranks_are_of_the_projection_where_there_is_one(store):
    def two_directions(x):
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3)), *[torch.zeros(len(x))] * 6], 1)

    without, having = look_at(store, lambda x: x.flatten(1)), look_at(store, lambda x: x.flatten(1), project=two_directions)
    assert "projection_rankme" not in without
    assert having["projection_rankme"].value < 2.001
    assert having["lidar"].value < 2.01 < without["lidar"].value
    assert "projection (8 dims)" in having["lidar"].protocol
    assert having["alignment"].value == without["alignment"].value


def test_labels_that_are_the_features_agree_and_shuffled_ones_do_not():
    labels = np.arange(90) % 3
    rows = torch.eye(3, 6)[torch.from_numpy(labels)] + 0.02 * torch.randn(90, 6, generator=torch.Generator().manual_seed(0))
    found = labeled(rows, labels, 5, 5, 0, Resampling(0), "here")
    assert [found[name].value for name in ("neighbor_purity", "kmeans_nmi", "kmeans_ari")] == pytest.approx([1, 1, 1])
    shuffled = labeled(rows, np.random.default_rng(0).permutation(labels), 5, 5, 0, Resampling(0), "here")
    assert shuffled["neighbor_purity"].value == pytest.approx(1 / 3, abs=0.12)
    assert abs(shuffled["kmeans_ari"].value) < 0.06


def test_a_baseline_of_several_seeds_is_their_mean_over_the_same_samples():
    one, two = (Measured(value, 9, "how", np.array([value, value + 1])) for value in (0.2, 0.4))
    found = mean_of([one, two])
    assert found.value == pytest.approx(0.3)
    assert found.resampled.tolist() == pytest.approx([0.3, 1.3])
    assert found.protocol == "mean of 2 seeds: how"


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """A store, a model and its features."""
    folder = tmp_path_factory.mktemp("diagnose")
    store = make_store(folder / "store", {"train": 90, "validation": 30, "test": 60, "unlabeled": 24})
    model = make_model(folder / "model")
    return store, model, extract(model, store, folder / "features")


def extract(model, store, out, seeds=2):
    out.mkdir()
    extract_features(model, store, ExtractConfig(random_init_seeds=seeds), 0, CPU, out)
    return out


def run(extracted, out, config=CONFIG, seed=0):
    store, model, features = extracted
    out.mkdir(exist_ok=True)
    return {
        score.metric.removeprefix("diagnose."): score
        for score in diagnose(model, store, features, config, config.eval_layer or "final", seed, CPU, out)
    }


def test_every_number_stands_beside_random_init_and_pixels(extracted, tmp_path):
    scores = run(extracted, tmp_path / "out")
    assert [name for name in scores if not name.startswith(("random_init", "raw_pixels"))] == [
        name for name in ORDER if name in scores
    ]
    assert set(ORDER) - scores.keys() == set()
    for name in ORDER:
        assert scores[f"random_init_{name}"].baseline == "random_init"
        assert np.isfinite(scores[name].value)
        assert scores[name].seed == 0
        assert "of train and validation" in scores[name].said
    with_pixels = {name.removeprefix("raw_pixels_") for name in scores if name.startswith("raw_pixels_")}
    assert with_pixels == set(ORDER) - SPECTRAL - {"projection_rankme", "lidar"}
    assert json.loads((tmp_path / "out" / "diagnose.json").read_text())[0]["metric"] == "diagnose.alignment"
    without = {name for name in ORDER if scores[name].low is None}
    assert without == SPECTRAL | {"projection_rankme", "lidar", "kmeans_nmi", "kmeans_ari"}
    assert (scores["alignment"].n, scores["rankme"].n) == (30, 120)


def test_numbers_of_stored_features_are_those_of_train_and_validation(extracted, tmp_path):
    scores = run(extracted, tmp_path / "out")

    def rows(source):
        return np.concatenate([np.load(extracted[2] / source / "final" / f"{split}.npy") for split in ("train", "validation")])

    assert scores["rankme"].value == pytest.approx(float(effective_rank(torch.from_numpy(rows("trained")))), rel=1e-9)
    both = [float(effective_rank(torch.from_numpy(rows(f"random_init/{i}")))) for i in (0, 1)]
    assert scores["random_init_rankme"].value == pytest.approx(np.mean(both), rel=1e-9)
    assert both[0] != both[1]
    spectra = pd.read_parquet(tmp_path / "out" / "diagnose.spectra.parquet")
    assert set(spectra.source) == {"trained", "random_init/0", "random_init/1"}
    variances = rows("trained").astype(np.float64).var(0, ddof=1).sum()
    assert spectra.eigenvalue[spectra.source == "trained"].sum() == pytest.approx(variances, rel=1e-9)
    assert spectra["rank"][spectra.source == "trained"].tolist() == list(range(1, 65))


def test_it_repeats(extracted, tmp_path):
    run(extracted, tmp_path / "one")
    run(extracted, tmp_path / "two")
    assert (tmp_path / "one" / "diagnose.json").read_bytes() == (tmp_path / "two" / "diagnose.json").read_bytes()


def test_test_images_are_never_read(extracted, tmp_path, monkeypatch):
    seen, gather = set(), Store.gather
    monkeypatch.setattr(Store, "gather", lambda self, ids: seen.update(map(int, ids)) or gather(self, ids))
    run(extracted, tmp_path / "out")
    store = Store.open(extracted[0])
    assert seen
    assert not seen & set(store.ids("test").tolist())


def test_the_random_network_is_the_one_whose_features_are_stored(extracted):
    store, model, features = extracted
    opened = Store.open(store)
    fresh = random_method(model, 1)
    set_statistics(fresh, opened, 256, 1, DEVICE, _whole(fresh))
    embed = _network(fresh, "final", DEVICE).embed
    again = embed_all(embed, opened, opened.ids("train"), 12, DEVICE, 0, "plain", AS_IT_IS).numpy()
    np.testing.assert_allclose(again, np.load(features / "random_init/1/final/train.npy"), rtol=1e-3, atol=1e-4)


def test_the_random_projector_knows_the_images_too(extracted):
    store, model, _ = extracted
    fresh = random_method(model, 0)
    set_statistics(fresh, Store.open(store), 256, 0, DEVICE, _whole(fresh))
    norms = [part for part in fresh.projector.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(float(norm.running_var.sub(1).abs().max()) > 1e-3 for norm in norms)
    z = embed_all(
        _network(fresh, "final", DEVICE).project,
        Store.open(store),
        Store.open(store).ids("train"),
        12,
        DEVICE,
        0,
        "plain",
        AS_IT_IS,
    )
    assert z.std(0).mean() == pytest.approx(1, rel=0.1)  # the projector ends with a norm


def test_without_labels_the_rest_stands(extracted, tmp_path):
    store = make_store(tmp_path / "store", {"unlabeled": 60}, classes=[])
    found = run((store, extracted[1], extract(extracted[1], store, tmp_path / "features", 1)), tmp_path / "out")
    assert not LABELED & found.keys()
    assert set(ORDER) - LABELED - {"alpha", "alpha_r2"} <= found.keys()
    assert "60 images of unlabeled" in found["rankme"].said


def test_too_few_images_are_said(extracted, tmp_path):
    store = make_store(tmp_path / "store", {"train": LEAST - 1, "test": 20})
    with pytest.raises(NotApplicable, match="diagnose needs at least 10 images"):
        run((store, *extracted[1:]), tmp_path / "out")


def test_the_layer_that_is_named(tmp_path):
    store = make_store(tmp_path / "store", {"train": 60, "test": 9})
    model = make_model(tmp_path / "model", "rotation")
    given = (store, model, extract(model, store, tmp_path / "features", 1))
    deepest = run(given, tmp_path / "deepest")
    assert {score.eval_layer for score in deepest.values()} == {"layer4"}, "what `final` stands for"
    assert "projection_rankme" not in deepest
    other = run(given, tmp_path / "other", DiagnoseConfig(view_images=20, views=2, eval_layer="layer2"))
    assert "eval layer layer2" in other["invariance_crop"].said
    assert other["rankme"].value != deepest["rankme"].value
    with pytest.raises(InputError, match=r"diagnose\.eval_layer='layer9' is unknown.*layer2"):
        run(given, tmp_path / "none", DiagnoseConfig(eval_layer="layer9"))


def test_gray_images_have_no_color_to_lose(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 3
    gray = blobs(labels, rng)[..., :1]
    store = Store.open(write_store(tmp_path / "store", labels, np.full(50, "train"), gray))
    sample = Sample.of(store, CONFIG, 0)
    found = Look(sample, 12, [AS_IT_IS], 2, 0, DEVICE, Resampling(0)).at(Network(lambda x: x.flatten(1), None, "pixels"))
    assert {name for name in found if name.startswith("invariance")} == {f"invariance_{name}" for name in TRANSFORMS} - {
        "invariance_grayscale"
    }


def test_a_transformer_is_diagnosed_too(tmp_path):
    store = make_store(tmp_path / "store", {"train": 40, "test": 9})
    model = make_model(tmp_path / "model", "mae", {"name": "vit_mini", "patch_size": 6, "depth": 1})
    found = run(
        (store, model, extract(model, store, tmp_path / "features", 1)), tmp_path / "out", DiagnoseConfig(view_images=12, views=2)
    )
    assert "projection_rankme" not in found
    assert "eval layer final (192 dims)" in found["lidar"].said
    assert load_method(model).project(torch.rand(1, 3, 12, 12)) is None


@pytest.mark.parametrize("key", ["images", "view_images", "views", "neighbors", "kmeans_starts", "random_init_seeds"])
def test_numbers_out_of_range_are_refused(key):
    with pytest.raises(InputError, match=f"diagnose.{key}=0 is refused"):
        DiagnoseConfig.of({key: 0}, "diagnose")
