"""A run that stands on an earlier one: what fits, what is remembered, what the finished model still needs of it (nothing)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from small_runs import runtime, small_config
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig, ingest
from ssl_pipelines.evaluation.config import FinetuneConfig
from ssl_pipelines.evaluation.finetune import finetune
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.model import load_classifier, load_method, random_method, read_description
from ssl_pipelines.training.pretrain import pretrain
from ssl_pipelines.training.upstream import fingerprint


def train(store: Path, work: Path, name: str, **changes) -> Path:
    pretrain(small_config(name, **changes), runtime(), store, work)
    return work / "final"


@pytest.fixture(scope="module")
def teacher(digits, tmp_path_factory) -> Path:
    return train(digits, tmp_path_factory.mktemp("teacher"), "simclr")


def student(store: Path, work: Path, teacher: Path, name: str = "clusterfit", **changes) -> Path:
    return train(store, work, name, pretrain={"upstream": {"teacher": str(teacher)}}, **changes)


def test_the_finished_student_is_whole_without_its_teacher(digits, teacher, tmp_path):
    copied = tmp_path / "teacher"
    shutil.copytree(teacher, copied)
    folder = student(
        digits, tmp_path / "work", copied, "feature_distillation", backbone={"name": "resnet_small", "width": 0.5, "depth": None}
    )
    shutil.rmtree(copied)
    method, fresh = load_method(folder), random_method(folder, 0)
    assert method.predictor.out_features == 64  # the teacher's width, not its own 128
    assert method.encode(torch.rand(2, 1, 16, 16)).shape == fresh.encode(torch.rand(2, 1, 16, 16)).shape == (2, 128)
    saved = load_file(folder / "encoder.safetensors") | load_file(folder / "method.safetensors")
    assert not [key for key in saved if "teacher" in key or "upstream" in key]


def test_what_it_stood_on_is_written_down(digits, teacher, tmp_path):
    known = read_description(student(digits, tmp_path, teacher))["upstream"]["teacher"]
    assert known["fingerprint"] == fingerprint(teacher)
    assert (known["method"], known["images_seen"], known["labels_seen"]) == ("simclr", 128, 0)


def test_the_fingerprint_is_of_the_weights_wherever_they_lie(teacher, tmp_path):
    shutil.copytree(teacher, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == fingerprint(teacher)
    path = tmp_path / "copy" / "encoder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert fingerprint(tmp_path / "copy") != fingerprint(teacher)


def test_a_resumed_training_stands_on_the_same_model(digits, teacher, tmp_path):
    student(digits, tmp_path, teacher)
    whole = (tmp_path / "final" / "encoder.safetensors").read_bytes()
    for step in (6, 7, 8):
        (tmp_path / f"step-{step:08d}.pt").unlink(missing_ok=True)
    student(digits, tmp_path / "again", teacher)
    assert (tmp_path / "again" / "final" / "encoder.safetensors").read_bytes() == whole
    other = train(digits, tmp_path / "other", "simclr", seed=9)
    with pytest.raises(
        InputError, match=r"pretrain\.upstream\.teacher is another model than the one that the training in .* began with"
    ):
        student(digits, tmp_path / "again", other)


@pytest.mark.parametrize("steps_kept", [3])
def test_stopped_and_resumed_is_bit_equal(digits, teacher, tmp_path, steps_kept):
    whole = student(digits, tmp_path / "whole", teacher)
    part = tmp_path / "part"
    from ssl_pipelines.training.loop import Loop

    before = Loop.run_step

    def run_step(loop, step):
        if step == steps_kept and part.joinpath("events.jsonl").exists() and loop.method.training:
            raise KeyboardInterrupt
        return before(loop, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "run_step", run_step)
        with pytest.raises(KeyboardInterrupt):
            student(digits, part, teacher)
    assert list(part.glob("step-*.pt"))
    resumed = student(digits, part, teacher)
    for name in ("encoder.safetensors", "method.safetensors"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def resolve(**pretrain_block) -> RunConfig:
    values = {"images_seen": 128, "batch_size": 16} | pretrain_block
    return RunConfig.resolve({"method": values.pop("method", "clusterfit"), "pretrain": values})


def test_names_are_checked_before_anything_is_read():
    with pytest.raises(InputError, match=r"method='clusterfit' stands on an earlier run: give pretrain\.upstream\.teacher="):
        resolve()
    assert resolve(method="beit").pretrain.upstream == {}, "the pretrain room trains it first"
    with pytest.raises(InputError, match=r"pretrain\.upstream\.techer='x' would be ignored\. Allowed: teacher"):
        resolve(upstream={"techer": "x"})
    with pytest.raises(InputError, match=r"would be ignored\. method='simclr' stands on no earlier run"):
        resolve(method="simclr", upstream={"teacher": "x"})


def test_the_core_alone_trains_nothing_first(digits, tmp_path):
    config = small_config("beit")
    config = config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"upstream": {}})})
    with pytest.raises(InputError, match=r"method='beit' stands on an earlier run: give pretrain\.upstream\.tokenizer="):
        pretrain(config, runtime(), digits, tmp_path)


def test_what_does_not_fit_is_refused_in_one_line(digits, teacher, tmp_path):
    with pytest.raises(InputError, match=r"is no model folder: config\.json is missing there"):
        student(digits, tmp_path / "a", tmp_path)
    with pytest.raises(InputError, match=r"was trained on views of 16 px, this run has 12: set methods\.clusterfit\.views\.size"):
        student(digits, tmp_path / "b", teacher, methods={"clusterfit": {"views": {"size": 12}}})
    with pytest.raises(InputError, match=r"is not fine-tuned: method='simclr_v2_distill' needs a classifier"):
        student(digits, tmp_path / "c", teacher, "simclr_v2_distill")
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
    np.savez(tmp_path / "color.npz", images=images)
    (tmp_path / "color").mkdir()
    ingest(
        DatasetConfig.of({"reader": "npz", "root": str(tmp_path / "color.npz"), "size": 16}, "dataset"), 0, tmp_path / "color", 1
    )
    with pytest.raises(InputError, match=r"reads 1 channel\(s\), this store has 3"):
        student(tmp_path / "color", tmp_path / "d", teacher)


def test_two_ranks_stand_on_it_too(digits, teacher, tmp_path):
    from ssl_pipelines.training import launch

    config = small_config("clusterfit", pretrain={"images_seen": 32, "upstream": {"teacher": str(teacher)}})
    launch.run(config, runtime(devices=2), digits, tmp_path)
    assert load_method(tmp_path / "final").labels.unique().numel() > 1


def test_from_fine_tuning_to_the_student_of_the_fine_tuned_network(digits, tmp_path):
    first = train(digits, tmp_path / "first", "simclr_v2")
    config = FinetuneConfig(images_seen=64, batch_size=32)
    finetune(first, digits, config, 0, runtime(), tmp_path)
    network = load_classifier(tmp_path / "finetuned")
    start = load_method(first)
    assert not torch.equal(network.method.projector[0].weight, start.projector[0].weight), "the first layer of the projector moves"
    assert torch.equal(network.method.projector[3].weight, start.projector[3].weight)
    folder = student(digits, tmp_path / "student", tmp_path / "finetuned", "simclr_v2_distill")
    body = json.loads((folder / "config.json").read_text())
    assert body["upstream"]["teacher"]["labels_seen"] > 200
    assert body["parameters"]["method_config"]["num_classes"] == 10
    shutil.rmtree(tmp_path / "finetuned")
    assert load_method(folder).classifier.out_features == 10
