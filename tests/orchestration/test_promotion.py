"""Promotion and rollback on a real MLflow store: who becomes champion, who does not and why, and the way back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from small_runs import PROCESSES, small_config, small_method
from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.contest import Judged
from ssl_pipelines.evaluation.scores import Outcome, score_all
from ssl_pipelines.orchestration.mlflow.registry import Registry, registered_names, rows_of
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import find_model
from ssl_pipelines.orchestration.models.promote_config import PromoteConfig
from ssl_pipelines.pipelines.promote import promotion
from ssl_pipelines.pipelines.promote.promotion import Candidate
from ssl_pipelines.training.model import describe, save_weights, write_description
from ssl_pipelines.training.pretrain import data_facts

N = 400
FRAME = {"fit": 900, "validation": 100, "test": N}


@pytest.fixture
def made(home, digits):
    """made(seed, right, values=9): a model folder of that seed, and its answers: `right` of 400 are correct, the first ones."""

    def make(seed: int, right: int, *, values: int = 9, sha256: str = "s" * 64, seen: int = 128) -> Candidate:
        return model_of(home / f"model{seed}", digits, seed, right, values=values, sha256=sha256)

    return make


def model_of(folder: Path, store: Path, seed: int, right: int, *, values: int = 9, sha256: str = "s" * 64, **changes) -> Candidate:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        opened, config = Store.open(store), small_config("simclr", seed=seed, **changes)
        method = small_method(config, opened, seed)
        save_weights(method, folder)
        write_description(folder, describe(config, data_facts(opened), method, 8))
        write_json(folder / "provenance.json", {"git_commit": f"commit{seed}"})
    return Candidate(folder, store, judged(right, values, sha256, dims=64 + seed))


def judged(right: int, values: int = 9, sha256: str = "s" * 64, dims: int = 64, layer: str = "final") -> Judged:
    labels = np.arange(N) % 10
    answers = np.where(np.arange(N) < right, labels, (labels + 1) % 10)
    fit = {"kind": "linear_probe", "solver": "full-batch L-BFGS", "standardize": True}
    protocol = fit | {"l2_values": values, "l2_weakest": 1e-6, "l2_strongest": 1e5}
    read = {"eval_layer": layer, "dims": dims, "layers": 1, "l2": 0.1 * dims, "validation_top1": 0.9}
    chosen = read | {"iterations": dims, "gradient": 1e-6, "converged": True}
    half = Outcome(np.where(np.arange(N) < N // 2, labels, -1), protocol, layer, chosen)
    scores = score_all("linear", Outcome(answers, protocol, layer, chosen), {"random_init": [half]}, labels, 0, FRAME)
    table = pd.DataFrame({"id": np.arange(N), "label": labels, "prediction": answers})
    return Judged("digits", sha256, [asdict(score) for score in scores], table)


def parameters(**block) -> PromoteConfig:
    return PromoteConfig.of(block, "promote")


def promote(candidate: Candidate, config: PromoteConfig) -> None:
    promotion.promote(candidate, config, tracker())


def champion(name: str = "encoder") -> str | None:
    return Registry(tracker(), name).aliases.get("champion")


def tracker() -> Tracker:
    return Tracker("", "abc123")


def test_a_better_one_is_promoted_a_worse_one_refused_and_rollback_restores(made, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    promote(made(1, 300), parameters())
    assert champion() == "1"
    assert "version 1 of encoder is @champion: first champion, +25.0 points" in caplog.text
    promote(made(2, 302), parameters())
    assert champion() == "1", "two images of 400 are within chance"
    assert "version 2 of encoder is not @champion: +0.5 points [+0.0, +1.2]" in caplog.text
    assert "version 1 stays" in caplog.text
    promote(made(3, 330), parameters())
    registry = Registry(tracker(), "encoder")
    assert registry.aliases == {"champion": "3", "previous": "1"}
    tags = registry.version("3").tags
    assert (tags["linear.top1"], tags["data.sha256"], tags["git_commit"]) == ("0.825", "s" * 64, "commit3")
    assert tags["verdict"].startswith("champion: +7.5 points")
    assert registry.version("2").tags["verdict"].startswith("refused ")
    assert registry.version("1").tags["champion.followed_by"] == "3"
    assert registry.roll_back() == ("3", ["1"])
    assert registry.aliases == {"champion": "1"}
    with pytest.raises(InputError, match="version 1 is the first champion of encoder; there is none before it"):
        registry.roll_back()
    # What was withdrawn does not come back by itself.
    promote(made(3, 330), parameters())
    assert champion() == "1"
    assert "withdrawn by a rollback" in caplog.text
    promote(made(3, 330), parameters(override="the fault was elsewhere"))
    assert registry.aliases == {"champion": "3", "previous": "1"}
    assert "by hand: the fault was elsewhere" in registry.version("3").tags["verdict"]
    assert "withdrawn" not in registry.version("3").tags
    rows = rows_of(tracker(), "encoder")
    assert [(row["version"], row["alias"]) for row in rows] == [
        ("encoder/3", "@champion"),
        ("encoder/2", ""),
        ("encoder/1", "@previous"),
    ]


def test_two_steps_back(made):
    for seed, right in ((1, 300), (2, 330), (3, 360)):
        promote(made(seed, right), parameters())
    registry = Registry(tracker(), "encoder")
    assert registry.champions == ["1", "2", "3"]
    assert registry.roll_back() == ("3", ["1", "2"])
    assert registry.aliases == {"champion": "2", "previous": "1"}
    assert registry.roll_back() == ("2", ["1"])
    assert registry.aliases == {"champion": "1"}


def test_the_same_weights_are_one_version(made, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    for _ in range(2):
        promote(made(1, 300), parameters())
    assert "version 1 of encoder has these weights and is @champion already; nothing to do" in caplog.text
    assert len(Registry(tracker(), "encoder").versions) == 1


def test_other_data_and_another_protocol_are_no_comparison(made, caplog):
    promote(made(1, 300), parameters())
    promote(made(2, 390, sha256="t" * 64), parameters())
    assert "other data than the champion's, so no comparison: digits tttttttttttt here, digits ssssssssssss there" in caplog.text
    promote(made(2, 390, values=45), parameters())
    assert "other protocol than the champion's" in caplog.text
    assert "l2_values 45 here, l2_values 9 there" in caplog.text
    assert champion() == "1"
    # The champion judged anew by the protocol of today can be beaten again.
    promote(made(1, 300, values=45), parameters())
    promote(made(2, 390, values=45), parameters())
    assert champion() == "2"


def test_the_same_weights_served_at_the_layer_of_their_score_take_their_own_place(made, caplog):
    """A champion of an earlier version was served at `final`, whatever layer its score was made at."""
    caplog.set_level("INFO", "ssl_pipelines")
    old = made(1, 300)
    promote(old, parameters())
    registry = Registry(tracker(), "encoder")
    registry.tracker.client.delete_model_version_tag("encoder", "1", "eval_layer")
    promote(replace(old, judged=judged(300, layer="layer2")), parameters())
    assert registry.aliases == {"champion": "2", "previous": "1"}
    assert registry.version("2").tags["eval_layer"] == "layer2"
    assert "the weights of version 1, served from now on at layer2, where they were scored" in caplog.text
    promote(replace(old, judged=judged(300, layer="layer2")), parameters())
    assert len(registry.versions) == 2, "nothing to do"


def test_a_judgement_whose_protocol_is_a_sentence_is_no_comparison(made, caplog):
    promote(made(1, 300), parameters())
    rows = [
        dict(row) | {"protocol": "multinomial logistic regression; stage final; l2=0.1 of 9 values"} for row in judged(390).scores
    ]
    promote(replace(made(2, 390), judged=replace(judged(390), scores=rows)), parameters())
    assert champion() == "1"
    assert "no comparison: the candidate was judged before, its protocol is a sentence of an earlier version" in caplog.text


def test_how_many_candidates_the_same_test_images_have_judged(made, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    promote(made(1, 300), parameters())
    assert "these test images have judged 1 candidate so far" in caplog.text
    # Trainings that were scored on them and never put up, with two evaluations of one of them; one on other images; one without a score.
    for sha256, scored in (("s" * 64, True), ("s" * 64, True), ("t" * 64, True), ("s" * 64, False)):
        run = tracker()
        run.open_evaluation({}, "pretraining", {"dataset.sha256": sha256})
        for _ in range(2 if scored else 0):
            evaluation = tracker()
            evaluation.open_evaluation({"mlflow_run_id": run.run_id}, "evaluation", {})
            evaluation.metrics([("linear.top1", 0.5, 0)])
            run.finish("FINISHED")
    promote(made(2, 302), parameters())
    assert "version 2 of encoder is not @champion" in caplog.text
    assert "version 1 stays; these test images have judged 4 candidates so far" in caplog.text
    assert Registry(tracker(), "encoder").version("2").tags["candidates_judged"] == "4"


def test_a_first_champion_has_to_beat_its_random_initialization(made, caplog):
    promote(made(1, 201), parameters())
    assert champion() is None
    assert "+0.2 points" in caplog.text
    assert "over its random initialization; the lower end has to lie above 0" in caplog.text
    with pytest.raises(InputError, match=r"^promote: version 1 of encoder is not @champion"):
        promote(made(1, 201), parameters(require=True))
    promote(made(2, 300), parameters(margin=0.5))
    assert champion() is None, "25 points are not 50"
    assert len(Registry(tracker(), "encoder").versions) == 2, "they are registered all the same"


def test_nothing_to_compare(made, caplog):
    promote(replace(made(1, 300), judged="nothing to compare: linear_eval needs labels"), parameters())
    assert champion() is None
    assert "nothing to compare: linear_eval needs labels" in caplog.text
    promote(replace(made(1, 300), judged="nothing to compare: linear_eval needs labels"), parameters(override="no labels here"))
    assert champion() == "1"


def test_an_alias_that_was_moved_by_hand_counts(made):
    for seed, right in ((1, 300), (2, 330)):
        promote(made(seed, right), parameters())
    registry = Registry(tracker(), "encoder")
    registry.tracker.client.set_registered_model_alias("encoder", "champion", "1")
    assert registry.champions == ["1"]
    registry.tracker.client.delete_model_version("encoder", "1")
    assert registry.champions == []
    promote(made(3, 360), parameters())
    assert champion() == "3"


def test_the_champion_is_a_model_to_load_and_to_stand_on(made, digits):
    candidate = made(1, 300)
    promote(candidate, parameters())
    found = find_model("export.model", "models:/encoder@champion", tracker())
    assert found.fingerprint == candidate.facts["fingerprint"]
    mlflow.set_tracking_uri(tracker().uri)
    from ssl_pipelines.orchestration.mlflow.model_logging import example

    served = mlflow.pyfunc.load_model("models:/encoder@champion")
    from ssl_pipelines.training.model import load_method
    from ssl_pipelines.views.plain import plain_view

    answer, store = served.predict(example(digits)), Store.open(digits)
    pixels, method = store.gather(store.pretraining_ids()[:2]).fields["image"], load_method(candidate.model)
    with torch.no_grad():
        expected = method.encode(plain_view(torch.from_numpy(pixels), method.image_size)).numpy()
    np.testing.assert_allclose(np.stack(answer.embedding.to_list()), expected, atol=1e-5)


def compete(root: str, store: str, seed: int, right: int) -> None:
    """One of several promotions, in a process and a checkout of its own, on the MLflow store of DVC_ROOT."""
    import os

    folder = Path(root) / f"checkout{seed}"
    folder.mkdir()
    os.environ["DVC_ROOT"] = root
    os.chdir(folder)
    promote(model_of(folder / "model", Path(store), seed, right), parameters())


def test_promotions_at_once_leave_one_champion_and_lose_none(home, digits, made):
    promote(made(9, 250), parameters())
    rights = {1: 330, 2: 390}
    children = [PROCESSES.Process(target=compete, args=(str(home), str(digits), seed, right)) for seed, right in rights.items()]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    assert [child.exitcode for child in children] == [0, 0]
    registry = Registry(tracker(), "encoder")
    assert [int(one.version) for one in registry.versions] == [1, 2, 3]
    best = next(one for one in registry.versions if one.tags["linear.top1"] == "0.975")
    assert champion() == str(best.version), "whoever came second was compared with the first"
    other = next(str(one.version) for one in registry.versions if one.tags["linear.top1"] == "0.825")
    came_first = int(other) < int(best.version)
    assert registry.champions == (["1", other, str(best.version)] if came_first else ["1", str(best.version)])
    assert registry.aliases["previous"] == registry.champions[-2]


def test_the_judgement_comes_back_as_it_was(tmp_path):
    one = judged(300)
    one.write(tmp_path / "judged")
    assert Judged.read(tmp_path / "judged").digest == one.digest
    assert json.dumps(read_json(tmp_path / "judged/judged.json"))
    assert registered_names is not None
