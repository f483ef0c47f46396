"""DINO: a student of all crops, a teacher of the large ones, and what is kept of them. Caron et al. 2021."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.training.model import init_from, save_weights

CLOCK = Clock(0, 8, 0)
VIT = {"name": "vit_mini", "depth": 2, "width": 1.0, "patch_size": 8}


def ready(store, backbone=None, **changes):
    changes = {"methods": {"dino": changes}} | ({"backbone": backbone} if backbone else {})
    loop = small_loop(small_config("dino", **changes), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("backbone", [None, VIT])
def test_the_loss_is_what_the_paper_says_of_the_two_networks(digits, backbone):
    loop, batch = ready(digits, backbone)
    method = loop.method
    method.center.copy_(torch.randn(1024, generator=torch.Generator().manual_seed(0)) / 10)
    crops = [*batch.views["first"], *batch.views["second"], *batch.views["local"]]
    student = [method.head(method.encoder(x)).detach().double().numpy() for x in crops]
    teacher = [method.teacher_head(method.teacher(x)).detach().double().numpy() for x in crops[:2]]
    costs = []
    for q, target in enumerate(teacher):
        p = softmax((target - method.center.double().numpy()) / 0.04)
        costs += [-(p * np.log(softmax(guess / 0.1))).sum(1).mean() for v, guess in enumerate(student) if v != q]
    assert len(costs) == 2 * (2 + 2) - 2
    output = method.loss(batch, CLOCK)
    assert output.loss.item() == pytest.approx(np.mean(costs), rel=1e-5)
    np.testing.assert_allclose(output.memory["center"], np.mean(teacher, axis=(0, 1)), atol=1e-6)
    loop.run_step(0)


def test_the_teacher_sees_the_large_crops_alone_and_learns_no_gradient(digits):
    loop, batch = ready(digits)
    seen = []
    loop.method.teacher.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape[2:])))
    loop.method.loss(batch, CLOCK).loss.backward()
    assert seen == [(16, 16)] * 2
    for module in (loop.method.teacher, loop.method.teacher_head):
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_the_teacher_starts_as_the_student_and_follows_it(digits):
    loop, _ = ready(digits)
    method = loop.method
    pairs = [(a, b) for copied, original in method.followers() for a, b in zip(copied.parameters(), original.parameters())]
    assert all(torch.equal(a, b) for a, b in pairs)
    before = [a.clone() for a, _ in pairs]
    loop.run_step(0)
    loop.run_step(1)
    m0, m1 = 0.98, 1 - 0.02 * (math.cos(math.pi / 8) + 1) / 2
    start, middle = [a.clone() for a, _ in pairs], [b.detach() for _, b in pairs]
    method.after_step([method.loss(loop.feed.batches(2, 8)[0], CLOCK)], Clock(1, 8, 1))
    for (a, _), old, new, first in zip(pairs, start, middle, before):
        torch.testing.assert_close(a, m1 * old + (1 - m1) * new, rtol=1e-5, atol=1e-7)
        assert m0 < m1 < 1
        assert first.shape == a.shape


def test_the_center_follows_the_teachers_mean(digits):
    loop, batch = ready(digits)
    output = loop.method.loss(batch, CLOCK)
    for _ in range(3):
        loop.method.after_step([output], CLOCK)
    torch.testing.assert_close(loop.method.center, (1 - 0.9**3) * output.memory["center"])


def test_the_teachers_temperature_at_its_corners(digits):
    method = ready(digits, teacher_temperature_end=0.07)[0].method
    found = [method.teacher_temperature(Clock(step, 100, 0)) for step in (0, 15, 30, 99)]
    assert found == pytest.approx([0.04, 0.055, 0.07, 0.07])
    assert (
        ready(digits, temperature_warmup_fraction=0.0, teacher_temperature_end=0.07)[0].method.teacher_temperature(Clock(0, 100, 0))
        == 0.07
    )


def test_the_prototypes_stand_still_at_first_without_decay(digits):
    loop, _ = ready(digits)
    before = loop.method.head.last.weight.detach().clone()
    loop.run_step(0)
    assert torch.equal(loop.method.head.last.weight, before)
    loop.run_step(1)
    assert not torch.equal(loop.method.head.last.weight, before)


def test_the_student_alone_drops_paths(digits):
    method = ready(digits, VIT | {"drop_path": 0.5})[0].method
    rates = [[getattr(block.drop_path1, "rate", 0.0) for block in encoder.blocks] for encoder in (method.encoder, method.teacher)]
    assert rates == [[0.0, 0.5], [0.0, 0.0]]
    assert method.encoder.pooling == method.teacher.pooling == "cls"


def test_the_teachers_encoder_is_what_is_evaluated_stored_and_continued_from(digits, tmp_path):
    loop, batch = ready(digits)
    for step in range(3):
        loop.run_step(step)
    method, images = loop.method.eval(), batch.views["first"][0]
    assert torch.equal(method.encode(images), method.teacher(images))
    assert not torch.equal(method.encode(images), method.encoder(images))
    save_weights(method, tmp_path)
    assert {key.split(".")[0] for key in load_file(tmp_path / "encoder.safetensors")} == {"teacher"}
    other = ready(digits)[0].method
    init_from(other, str(tmp_path))
    for key, value in method.teacher.state_dict().items():
        assert torch.equal(other.teacher.state_dict()[key], value), key
        assert torch.equal(other.encoder.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"dino": {"teacher_temperature_end": 0.2}}}, r"teacher_temperature_end=0\.2 would not sharpen"),
        ({"methods": {"dino": {"temperature_warmup_fraction": 0.5}}}, r"temperature_warmup_fraction=0\.5 would be ignored"),
        ({"methods": {"dino": {"pooling": "average"}}}, r"pooling='average' is read by vit_mini"),
        ({"methods": {"dino": {"views": {"groups": {"second": {"count": 2}}}}}}, r"second\.count=2 is refused"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("dino", **changes)


def test_view_sizes_that_the_encoder_cannot_take_are_refused(digits):
    small = {"groups": {"local": {"size": 24}}}
    with pytest.raises(InputError, match=r"patch_size=16 does not divide the view size 24"):
        ready(digits, VIT | {"patch_size": 16}, views=small)
    with pytest.raises(InputError, match="'relative' is made for views of 16 px alone, and here are some of 24"):
        ready(digits, VIT | {"positions": "relative"}, views=small)
    with pytest.raises(InputError, match=r"'vit_tiny_patch16_224' takes views of 16 px alone"):
        ready(digits, {"name": "vit_tiny_patch16_224", "width": 1.0}, views=small)
