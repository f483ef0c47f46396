"""Protocols as data: what decides whether two scores compare, and the sentences that are rendered of them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from ssl_pipelines.evaluation.contest import contest
from ssl_pipelines.evaluation.protocols import apart, described, eval_layer_of, said, sentence
from ssl_pipelines.evaluation.scores import Outcome, score_all
from tests.orchestration.test_promotion import FRAME, judged

LINEAR = {"kind": "linear_probe", "solver": "L-BFGS", "standardize": True, "l2_values": 9, "l2_weakest": 1e-6, "l2_strongest": 1e5}


def fit(layer: str = "layer2", l2: float = 0.1, iterations: int = 12, converged: bool = True) -> dict:
    read = {"eval_layer": layer, "dims": 64, "layers": 4, "l2": l2, "validation_top1": 0.9}
    return read | {"iterations": iterations, "gradient": 1e-6, "converged": converged}


def test_the_sentence_of_a_probe():
    words = sentence(LINEAR | {"data": FRAME | {"held_out": 0.2}, "interval": "Wilson"}, [fit()])
    assert words == (
        "multinomial logistic regression with L2, L-BFGS, features standardized; eval layer layer2 (64 dims) of 4 layers, chosen on "
        "validation; l2=0.1 of 9 values 1e-06..100000 chosen on validation (top-1 0.9000); refit on fit and validation: 12 iterations, "
        "gradient 1.0e-06, converged; fit 900, validation 100 (a seeded 20% of train, stratified), test 400 images; Wilson interval"
    )


def test_several_seeds_are_said_each_once():
    words = sentence(LINEAR | {"interval": "Wilson", "baseline": "random_init"}, [fit(), fit("layer4"), fit()])
    assert words.startswith("mean of 3 seeds: multinomial")
    assert words.count("multinomial") == 2
    assert "layer4 (64 dims)" in words
    assert words.endswith("; Wilson interval of the mean")


def test_a_stored_score_renders_as_the_one_that_was_made():
    labels = np.arange(20) % 2
    half = Outcome(np.zeros(20, dtype=np.int64), LINEAR, "layer4", fit("layer4"))
    ours = Outcome(labels, LINEAR, "layer2", fit())
    for score in score_all("linear", ours, {"random_init": [half, half], "raw_pixels": [half]}, labels, 0, FRAME):
        stored = json.loads(json.dumps(asdict(score)))
        assert said(stored) == score.said
        assert eval_layer_of(stored) == ("layer2" if score.metric == "linear.top1" else None)


def test_files_of_earlier_versions_keep_their_words():
    assert said({"protocol": "by hand; stage layer2"}) == "by hand; stage layer2"
    assert said({}) == said({"protocol": None}) == ""
    assert eval_layer_of({"stage": "layer2"}) == "layer2"
    assert sentence(described("as it says")) == "as it says"


@pytest.mark.parametrize("text", ["; stage x", "l2=7", "refit on fit and validation: ", "NOT converged"])
def test_words_within_a_protocol_decide_nothing(text):
    """A sentence that was taken apart by its marks could be fooled by them: data cannot."""
    ours, theirs = judged(390), judged(300)
    for row in ours.scores:
        row["protocol"]["solver"] = f"another{text}"
    verdict = contest(ours, theirs, 0.0)
    assert not verdict.won
    assert f"solver another{text}" in verdict.reason


def test_what_validation_chose_is_no_part_of_the_protocol():
    verdict = contest(judged(390, dims=512, layer="layer2"), judged(300, dims=64, layer="final"), 0.0)
    assert verdict.won, verdict.reason


def test_other_numbers_of_images_are_another_protocol():
    ours = judged(390)
    for row in ours.scores:
        row["protocol"]["data"] = FRAME | {"fit": 450}
    assert "data.fit 450 here, data.fit 900 there" in contest(ours, judged(300), 0.0).reason


def test_apart():
    assert apart({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == ("b.c 2", "b.c 3")
    assert apart({"a": 1}, {"a": 1, "new": True}) == ("new nothing", "new True")
