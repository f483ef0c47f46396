"""iBOT: DINO, and the distributions of hidden patches. Zhou et al. 2022."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.distillation.dino import DINO

CLOCK = Clock(0, 8, 0)


def ready(store, **changes):
    loop = small_loop(small_config("ibot", methods={"ibot": changes}), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def unmasked(rows: int) -> torch.Tensor:
    return torch.zeros(rows, 16, dtype=torch.bool)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_without_masks_it_is_dino(digits, monkeypatch):
    """The same views and weights: the same loss, gradients and center."""
    loop, batch = ready(digits)
    views = loop.method.config.views.model_dump(mode="json")
    other = small_loop(
        small_config("dino", methods={"dino": {"views": views}}, backbone={"name": "vit_mini", "depth": 2, "width": 1.0}), digits
    )
    dino, ibot = other.method.double().train(), loop.method.double().train()
    dino.load_state_dict({key: ibot.state_dict()[key] for key in dino.state_dict()})
    doubled = type(batch)({key: value.double() for key, value in batch.views.items()}, batch.targets, batch.ids)
    monkeypatch.setattr(ibot, "masks", unmasked)
    center = torch.randn(1024, dtype=torch.float64) / 10
    outputs = []
    for method in (dino, ibot):
        method.center.copy_(center)
        torch.manual_seed(0)
        outputs.append(method.loss(doubled, CLOCK))
        outputs[-1].loss.backward()
    assert type(dino) is DINO
    assert outputs[1].loss.item() == pytest.approx(outputs[0].loss.item(), rel=1e-12)
    torch.testing.assert_close(outputs[1].memory["center"], outputs[0].memory["center"])
    theirs = dict(dino.named_parameters())
    for name, parameter in ibot.named_parameters():
        if name in theirs and theirs[name].grad is not None:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-9, atol=1e-12)
    assert (ibot.mask_token.vector.grad == 0).all()


def test_the_loss_is_what_the_paper_says_of_the_two_networks(digits):
    loop, batch = ready(digits, patch_weight=0.7, patch_temperature=0.05, patch_temperature_end=0.05)
    method = loop.method.double()
    for center in (method.center, method.patch_center):
        center.copy_(torch.randn(1024, generator=torch.Generator().manual_seed(0)) / 10)
    views = {key: value.double() for key, value in batch.views.items()}
    torch.manual_seed(2)
    masks = [method.masks(16) for _ in range(2)]
    torch.manual_seed(2)
    output = method.loss(type(batch)(views, batch.targets, batch.ids), CLOCK)
    student, teacher, student_patches, teacher_patches = [], [], [], []
    large = [views["first"][0], views["second"][0]]
    with torch.no_grad():
        for x, mask in zip(large, masks, strict=True):
            tokens = method.encoded(x, mask)
            student.append(method.head(tokens[:, 0]).numpy())
            student_patches.append(method.head(tokens[:, 1:].reshape(-1, 192)).view(16, 16, -1).numpy())
            tokens = method.teacher.encode_tokens(method.teacher.embed(x))[-1]
            teacher.append(method.teacher_head(tokens[:, 0]).numpy())
            teacher_patches.append(method.teacher_head(tokens[:, 1:].reshape(-1, 192)).view(16, 16, -1).numpy())
        student += [method.head(method.encoder(x)).numpy() for x in views["local"]]
    c, c_patch = method.center.numpy(), method.patch_center.numpy()
    costs = []
    for q, target in enumerate(teacher):
        p = softmax((target - c) / 0.04)
        costs += [-(p * np.log(softmax(guess / 0.1))).sum(1).mean() for v, guess in enumerate(student) if v != q]
    assert len(costs) == 6
    patches = []
    for v in range(2):
        for b in range(16):
            of_image = [
                -(softmax((teacher_patches[v][b, t] - c_patch) / 0.05) * np.log(softmax(student_patches[v][b, t] / 0.1))).sum()
                for t in range(16)
                if masks[v][b, t]
            ]
            patches.append(sum(of_image) / max(len(of_image), 1))
    assert 0 in patches
    assert output.metrics["cls"].item() == pytest.approx(np.mean(costs), rel=1e-6)
    assert output.metrics["patches"].item() == pytest.approx(np.mean(patches), rel=1e-6)
    assert output.loss.item() == pytest.approx(np.mean(costs) + 0.7 * np.mean(patches), rel=1e-6)
    np.testing.assert_allclose(output.memory["patch_center"], np.mean(teacher_patches, axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(output.memory["center"], np.mean(teacher, axis=(0, 1)), atol=1e-6)


def test_the_teacher_sees_whole_large_crops_and_small_ones_are_never_masked(digits):
    loop, batch = ready(digits)
    method, seen = loop.method, {"student": [], "teacher": []}
    for name, encoder in (("student", method.encoder), ("teacher", method.teacher)):
        before = encoder.encode_tokens
        encoder.encode_tokens = lambda tokens, name=name, before=before: (seen[name].append(tokens), before(tokens))[1]
    method.loss(batch, CLOCK).loss.backward()
    whole = [method.teacher.embed(x) for x in batch.crops("first", "second")]
    assert all(torch.equal(a, b) for a, b in zip(seen["teacher"], whole, strict=True))
    changed = [
        (a != method.encoder.embed(x)).any(2) for a, x in zip(seen["student"], batch.crops("first", "second", "local"), strict=True)
    ]
    assert all(mask.any() for mask in changed[:2])
    assert not any(mask.any() for mask in changed[2:])
    for module in (method.teacher, method.teacher_head):
        assert all(p.grad is None for p in module.parameters())


def test_half_of_the_crops_hide_a_tenth_to_a_half(digits):
    method = ready(digits)[0].method
    count = method.masks(2000).sum(1)
    assert (count == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert count.max() == 7  # below half of 16, since fractions are continuous
    assert count[count > 0].float().mean().item() == pytest.approx(
        np.mean([int(16 * f) for f in np.linspace(0.1, 0.5, 1000)]), abs=0.3
    )


def test_both_centers_follow(digits):
    loop, batch = ready(digits)
    output = loop.method.loss(batch, CLOCK)
    loop.method.after_step([output], CLOCK)
    for name in ("center", "patch_center"):
        torch.testing.assert_close(getattr(loop.method, name), 0.1 * output.memory[name])


def test_the_patches_temperature_at_its_corners(digits):
    method = ready(digits, patch_temperature_end=0.07)[0].method
    assert [method.patch_temperature(Clock(step, 100, 0)) for step in (0, 15, 30, 99)] == pytest.approx([0.04, 0.055, 0.07, 0.07])
    assert method.teacher_temperature(Clock(99, 100, 0)) == 0.04


def test_pictures_show_the_masks(digits):
    loop, batch = ready(digits, masked_share=1.0)
    shown = loop.method.pictures(batch)["masked_crops"]
    assert torch.equal(shown[1::2], batch.views["first"][0][:8])
    hidden = shown[::2] != shown[1::2]
    assert (shown[::2][hidden] == 0.5).all()
    assert hidden.flatten(1).any(1).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"ibot": {"mask_fraction": [0.5, 0.1]}}}, r"mask_fraction=\[0\.5, 0\.1\]"),
        ({"methods": {"ibot": {"patch_temperature_end": 0.2}}}, r"patch_temperature_end=0\.2 would not sharpen"),
        ({"methods": {"ibot": {"views": {"groups": {"first": {"size": 24}}}}}}, r"first\.size=24 and second\.size=None"),
        ({"backbone": {"positions": "relative"}}, r"positions='relative' is made for one size of view"),
        ({"backbone": {"name": "resnet18", "depth": None}}, "needs a ViT"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("ibot", **changes)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"temperature_warmup_fraction": 0.5}, r"temperature_warmup_fraction=0.5 would be ignored"),
        (
            {"masked_share": 0, "mask_fraction": [0.2, 0.5]},
            r"mask_fraction=\(0.2, 0.5\) would be ignored: masked_share=0 hides nothing",
        ),
        ({"masked_share": 0, "least_block": 2}, r"least_block=2 would be ignored: masked_share=0"),
        ({"patch_weight": 0, "patch_temperature": 0.05}, r"patch_temperature=0.05 would be ignored: patch_weight=0"),
    ],
)
def test_what_would_be_ignored_is_refused(own, words):
    with pytest.raises(InputError, match=words):
        small_config("ibot", methods={"ibot": own})


def test_the_warmup_is_of_the_patches_temperature_too():
    own = {"patch_temperature_end": 0.07, "temperature_warmup_fraction": 0.5}
    assert small_config("ibot", methods={"ibot": own}).method_config.temperature_warmup_fraction == 0.5


def test_one_patch_a_crop_is_refused(digits):
    with pytest.raises(InputError, match="patch_size=16 leaves one patch of a large crop"):
        small_loop(
            small_config("ibot", backbone={"patch_size": 16}, methods={"ibot": {"views": {"groups": {"local": {"size": 16}}}}}),
            digits,
        )
