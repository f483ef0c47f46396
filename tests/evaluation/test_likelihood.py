"""Bits a pixel of the test images: against sums over the stored bytes, with their protocol, and absent where nothing is known."""

import json
import math

import numpy as np
import pytest
import torch

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.features import extract_features, prepare
from ssl_pipelines.evaluation.likelihood import likelihood_scores, write_likelihood
from ssl_pipelines.reporting.inputs import Model, Scores
from ssl_pipelines.reporting.metrics import merge
from ssl_pipelines.reporting.results import other_scores, results
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.model import build_method, load_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.training.runtime import RuntimeConfig
from tests.evaluation.evaluation_samples import make_model, make_store

SMALL = {"made": {"units": 16, "num_masks": 2, "feature_masks": 1}, "igpt": {"palette": 6, "width": 8, "depth": 1, "heads": 1}}
SMALL["pixelcnn"] = {"width": 8, "depth": 2, "head_dim": 8}


def fresh(name, store, **block):
    config = RunConfig.resolve({"method": name, "methods": {name: SMALL.get(name, {}) | block}, "pretrain": {"images_seen": 16}})
    return build_method(config, data_facts(store), 0)


def pixels_of(store, split):
    return store.gather(store.ids(split)).fields["image"]


@pytest.fixture
def images(tmp_path):
    return Store.open(make_store(tmp_path / "store", {"train": 40, "validation": 6, "test": 90, "unlabeled": 8}))


def test_known_probabilities_give_known_bits(images):
    """MADE without weights: each pixel is 1 with the probability of its bias, whatever came before."""
    method = fresh("made", images)
    p = np.random.default_rng(0).uniform(0.1, 0.9, 12 * 12 * 3)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
        method.encoder.last.bias.copy_(torch.tensor(np.log(p / (1 - p))))
    ours, histogram = likelihood_scores(method, images, seed=7)
    test, train = pixels_of(images, "test"), np.concatenate([pixels_of(images, "train"), pixels_of(images, "unlabeled")])
    ones = test.reshape(len(test), -1) >= 128
    bits = -np.where(ones, np.log2(p), np.log2(1 - p)).mean(1)
    assert (ours.metric, ours.n, ours.seed, ours.baseline) == ("likelihood.bits_per_dim", 90, 7, None)
    assert ours.value == pytest.approx(bits.mean(), rel=1e-5)
    half = 1.96 * bits.std(ddof=1) / math.sqrt(90)
    assert (ours.low, ours.high) == (pytest.approx(bits.mean() - half, rel=1e-5), pytest.approx(bits.mean() + half, rel=1e-5))
    shares = [((train[..., c] >= 128).sum() + 1) / (train[..., c].size + 2) for c in range(3)]
    alone = [-np.where(test[..., c] >= 128, np.log2(shares[c]), np.log2(1 - shares[c])).mean() for c in range(3)]
    assert (histogram.metric, histogram.baseline) == ("likelihood.histogram_bits_per_dim", "histogram")
    assert histogram.value == pytest.approx(np.mean(alone), rel=1e-6)
    for words in ("2 levels, 12 px", "mixture of 2 mask sets", "90 test images", "432 symbols", "a uniform guess costs 1"):
        assert words in ours.said, words
    assert "48 training images" in histogram.said


def test_eight_bits_without_knowledge(images):
    method = fresh("pixelcnn", images)
    for parameter in method.head.parameters():
        torch.nn.init.zeros_(parameter)
    ours, histogram = likelihood_scores(method, images, seed=0)
    assert ours.value == pytest.approx(8, rel=1e-6)
    assert histogram.value < 8, "noise below 90 is likely"
    assert "256 levels" in ours.said


def test_palette_tokens_have_a_unit_of_their_own(images):
    method = fresh("igpt", images)
    prepare(method, images, 0)
    ours, histogram = likelihood_scores(method, images, seed=0)
    assert (ours.metric, histogram.metric) == ("likelihood.bits_per_token", "likelihood.histogram_bits_per_token")
    assert ours.value == pytest.approx(math.log2(6), rel=1e-6)
    assert 0 < histogram.value < math.log2(6)
    assert "not comparable" in ours.said


def test_what_has_no_likelihood_has_no_score(images, tmp_path):
    assert likelihood_scores(fresh("simclr", images), images, 0) == []
    assert likelihood_scores(fresh("igpt", images, objective="bert"), images, 0) == []
    untested = Store.open(make_store(tmp_path / "untested", {"train": 9}))
    assert likelihood_scores(fresh("made", untested), untested, 0) == []
    write_likelihood(tmp_path, [])
    assert not (tmp_path / "likelihood.json").exists()


def test_labels_are_not_needed(tmp_path):
    store = Store.open(make_store(tmp_path / "store", {"unlabeled": 20, "test": 5}))
    assert len(likelihood_scores(fresh("made", store), store, 0)) == 2


@pytest.mark.parametrize(("name", "there"), [("made", True), ("simclr", False)])
def test_extraction_leaves_it_for_metrics_and_report(images, tmp_path, name, there):
    model = make_model(tmp_path / "model", name, {"name": "auto"} if there else None)
    out = tmp_path / "features"
    out.mkdir()
    extract_features(model, images.folder, ExtractConfig(random_init_seeds=1), 0, RuntimeConfig(accelerator="cpu"), out)
    assert (out / "likelihood.json").is_file() == there
    (tmp_path / "scores").mkdir()
    scores = Scores(tmp_path / "scores", out)
    metrics = merge(images, Model(model), scores, None)
    assert ("likelihood" in metrics) == there
    shown = results(scores)
    assert bool(shown) == there
    if there:
        stored = json.loads((out / "likelihood.json").read_text())
        assert metrics["likelihood"]["bits_per_dim"] == stored[0]["value"]
        assert metrics["likelihood"]["bits_per_dim_low"] < stored[0]["value"] < metrics["likelihood"]["bits_per_dim_high"]
        [card] = shown
        assert [cell.label for cell in card.cells] == ["Bits per dim", "Bits per dim, histogram of single values"]
        assert card.cells[0].value == f"{stored[0]['value']:.4g}"
        assert card.protocol == stored[0]["protocol"]["words"]
        assert other_scores(scores) is None


def test_a_random_initialization_gets_a_palette_too(images):
    """Else the baseline would see gray alone, and any encoder would beat it."""
    method = fresh("igpt", images)
    gray = method.encoder.palette.clone()
    prepare(method, images, 0)
    assert not torch.equal(method.encoder.palette, gray)
    tokens = method.encoder.tokens(torch.from_numpy(pixels_of(images, "train")).permute(0, 3, 1, 2) / 255)
    assert len(tokens.unique()) == 6


def test_a_loaded_model_scores_as_the_trained_one(images, tmp_path):
    model = make_model(tmp_path / "model", "made", {"name": "auto"})
    one, two = (likelihood_scores(load_method(model), images, 0)[0].value for _ in range(2))
    assert one == two
