"""Feature distillation: what is predicted, by whom, and who is refused."""

from __future__ import annotations

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.whitened import whitened_smooth_l1
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.networks.drop_path import DropPath
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts

CLOCK = Clock(0, 8, 0)


def test_every_token_of_the_same_view_is_predicted(digits):
    loop = small_loop(small_config("feature_distillation"), digits)
    method, [batch] = loop.method.eval(), loop.feed.batches(0, 8)
    [images] = batch.views["global"]
    teacher = method.finished("teacher").encoder
    with torch.no_grad():
        target = teacher.encode_tokens(teacher.embed(images))[-1]
        prediction = method.predictor(method.encoder.encode_tokens(method.encoder.embed(images))[-1])
    assert target.shape[1] == 1 + 16  # the class token, and 4 x 4 patches
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(whitened_smooth_l1(prediction, target, 2.0).item(), rel=1e-6)


def test_drop_path_is_the_students_alone_and_its_positions_are_relative(digits):
    method = small_method(small_config("feature_distillation"), Store.open(digits)).train()
    rates = [part.rate for part in method.modules() if isinstance(part, DropPath)]
    assert rates
    assert max(rates) == pytest.approx(0.1)
    assert isinstance(method.encoder, RelativeViT)
    teacher = method.finished("teacher")
    assert not [part for part in teacher.modules() if isinstance(part, DropPath)]
    assert not teacher.training
    assert not isinstance(teacher.encoder, RelativeViT)
    assert method.encoder.training


def test_with_resnets_the_cells_of_the_map_are_predicted(digits):
    loop = small_loop(small_config("feature_distillation", backbone={"name": "resnet_small", "width": 0.25, "depth": None}), digits)
    method, [batch] = loop.method.eval(), loop.feed.batches(0, 8)
    with torch.no_grad():
        maps = [encoder.map(batch.views["global"][0]) for encoder in (method.encoder, method.finished("teacher").encoder)]
        ours, theirs = ([m[b, :, y, x] for b in range(len(m)) for y in range(m.shape[2]) for x in range(m.shape[3])] for m in maps)
        loss = whitened_smooth_l1(method.predictor(torch.stack(ours)), torch.stack(theirs), 2.0)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(loss.item(), rel=1e-5)


def test_the_student_learns_what_the_teacher_says(digits):
    config = small_config("feature_distillation", pretrain={"images_seen": 1600, "optimizer": {"lr": 8e-3}})
    loop = small_loop(config, digits)
    losses = [loop.run_step(step).loss.item() for step in range(60)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def student_of(store: Store, teacher_backbone: dict, student_backbone: dict):
    config = small_config("feature_distillation", backbone=student_backbone)
    teacher = build_method(small_config("simclr", backbone=teacher_backbone), data_facts(store), 0).eval()
    cls = method_class("feature_distillation")
    config = config.model_copy(update={"method_config": cls.fitted(config.method_config, {"teacher": teacher})})
    return build_method(config, data_facts(store), 0, {"teacher": teacher})


def test_another_width_is_predicted_and_another_grid_is_refused(digits):
    store = Store.open(digits)
    wide = {"name": "resnet_small", "width": 0.5, "depth": None}
    method = student_of(store, wide, {"name": "resnet_small", "width": 0.25, "depth": None})
    assert method.predictor.out_features == 2 * method.predictor.in_features
    assert method.config.target_dim == method.predictor.out_features
    with pytest.raises(InputError, match=r"a feature map of 1 x 1 cells, backbone\.name gives one of 4 x 4"):
        student_of(store, wide, {})


def test_a_width_that_is_not_the_teachers(digits):
    with pytest.raises(InputError, match="target_dim=7 is refused: the teacher's features have 192"):
        small_method(small_config("feature_distillation", methods={"feature_distillation": {"target_dim": 7}}), Store.open(digits))
