"""What every method promises, run on every row of the table."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from projects import ROOT
from small_runs import method_names, on_ranks, small_config, small_loop
from ssl_pipelines.distributed import all_reduce_mean, average_gradients, gather_rows
from ssl_pipelines.methods.base import Clock, Method
from ssl_pipelines.methods.registry import TABLE, method_class, module_of
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.reporting.captions import CAPTIONS
from ssl_pipelines.views import Batch

METHODS = pytest.mark.parametrize("name", method_names())
CLOCK = Clock(0, 8, 0)


@pytest.fixture
def store(name, request) -> Path:
    """Gray digits, or color photographs for a method that needs color."""
    return request.getfixturevalue("photos" if "rgb" in method_class(name).needs else "digits")


def ready(name: str, store: Path):
    loop = small_loop(small_config(name), store)
    loop.method.train()
    return loop, loop.feed.batches(0, 8)[0]


def norm_buffers(method) -> set[str]:
    return {
        f"{name}.{key}"
        for name, module in method.named_modules()
        if isinstance(module, BatchNorm)
        for key, _ in module.named_buffers()
    }


@METHODS
def test_loss_is_pure(name, store):
    loop, batch = ready(name, store)
    before = {key: value.clone() for key, value in loop.method.state_dict().items()}
    values = []
    for _ in range(2):
        torch.manual_seed(0)
        values.append(loop.method.loss(batch, CLOCK).loss.item())
    assert values[0] == values[1]
    after = loop.method.state_dict()  # NaN may stand for what is not known yet
    written = {key for key, value in after.items() if not torch.allclose(value, before[key], rtol=0, atol=0, equal_nan=True)}
    assert written <= norm_buffers(loop.method)


@METHODS
def test_every_trainable_parameter_moves(name, store):
    loop, _ = ready(name, store)
    before = {key: value.detach().clone() for key, value in loop.method.named_parameters()}
    for step in range(2):
        loop.run_step(step)
    still = [key for key, value in loop.method.named_parameters() if value.requires_grad and torch.equal(value, before[key])]
    assert not still


@METHODS
def test_stop_and_resume_equals_no_stop(name, store):
    whole, _ = ready(name, store)
    for step in range(4):
        whole.run_step(step)
    first, _ = ready(name, store)
    for step in range(2):
        first.run_step(step)
    second, _ = ready(name, store)
    with torch.no_grad():  # what is loaded must not depend on what was there
        for parameter in second.method.parameters():
            parameter.add_(1.0)
    second.load(first.state())
    for step in range(2, 4):
        second.run_step(step)
    for key, value in whole.method.state_dict().items():
        assert torch.equal(value, second.method.state_dict()[key]), key


@METHODS
def test_encode_gives_finite_features_that_repeat(name, store):
    loop, batch = ready(name, store)
    loop.method.eval()
    images = next(iter(batch.views.values()))[0]
    z = loop.method.encode(images)
    assert z.shape == (len(images), loop.method.dim)
    assert z.isfinite().all()
    assert torch.equal(z, loop.method.encode(images))
    assert torch.equal(z, loop.method.encode(images, "final"))
    size = loop.method.image_size
    assert loop.method.in_channels == loop.feed.store.channels
    assert loop.method.encode(torch.zeros(2, loop.method.in_channels, size, size)).shape == (2, loop.method.dim)
    alone = torch.cat([loop.method.encode(images[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(alone, z[:3], rtol=1e-4, atol=1e-5)
    for stage, features in loop.method.stages(images).items():
        assert features.ndim == 2, stage
        torch.testing.assert_close(loop.method.encode(images, stage), features)


@METHODS
def test_pretraining_sees_no_labels(name, store):
    _, batch = ready(name, store)
    assert set(type(batch).__dataclass_fields__) == {"views", "targets", "ids"}
    assert not [key for key in batch.targets if "label" in key]


def one_step(name: str, store: Path) -> dict[str, torch.Tensor]:
    """Loss (mean over ranks) and averaged gradients of step 0, in float64: in float32 a ReLU at its kink turns rounding into gradient."""
    loop = small_loop(small_config(name), store)
    loop.method.double().train()
    [batch] = loop.feed.batches(0, 8)
    batch = Batch({key: views.double() for key, views in batch.views.items()}, batch.targets, batch.ids)
    torch.manual_seed(0)
    output = loop.method.loss(batch, CLOCK)
    output.loss.backward()
    average_gradients(loop.method.parameters())
    found = {key: value.grad for key, value in loop.method.named_parameters() if value.grad is not None}
    return found | {"loss": all_reduce_mean(output.loss.detach()), "running": _running(loop.method)}


def _running(method) -> torch.Tensor:
    parts = [module.running_var.flatten() for module in method.modules() if isinstance(module, BatchNorm)]
    return torch.cat(parts) if parts else torch.zeros(1)


@METHODS
def test_two_ranks_equal_one_process_on_the_whole_batch(name, store, tmp_path):
    alone = one_step(name, store)
    for ours in on_ranks(one_step, tmp_path / "ranks", name, store):
        assert ours.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}")


def two_steps(name: str, store: Path) -> dict[str, torch.Tensor]:
    loop = small_loop(small_config(name), store)
    loop.method.double()
    for step in range(2):
        loop.run_step(step)
    return loop.method.state_dict()


@METHODS
def test_two_ranks_remember_what_one_process_remembers(name, store, tmp_path):
    """Weights, followers, queues, banks, centers, counters after two steps."""
    alone = two_steps(name, store)
    for ours in on_ranks(two_steps, tmp_path / "ranks", name, store):
        assert ours.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-5, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", [name for name in method_names() if method_class(name).pictures is not Method.pictures])
def test_pictures_are_rows_of_images_whose_columns_are_explained(name, store):
    loop, batch = ready(name, store)
    with torch.no_grad():
        found = loop.method.eval().pictures(batch)
    for key, images in found.items():
        assert len(images) % 8 == 0, key
        assert images.shape[1] in (1, 3), key
        assert 0 <= images.min() <= images.max() <= 1, key
        assert key in CAPTIONS or f"{name}/{key}" in CAPTIONS, key


@pytest.mark.parametrize("name", [name for name in method_names() if method_class(name).pictures is not Method.pictures])
def test_pictures_wait_for_no_other_rank(name, store, monkeypatch):
    """The first rank draws them alone: a collective would wait for ever."""
    loop, batch = ready(name, store)

    def waits(*_, **__):
        raise AssertionError("a collective")

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda *_: 2)
    monkeypatch.setattr(dist, "get_rank", lambda *_: 0)
    for collective in ("all_reduce", "all_gather", "all_gather_into_tensor", "broadcast", "barrier"):
        monkeypatch.setattr(dist, collective, waits)
    with pytest.raises(AssertionError, match="a collective"):
        gather_rows(batch.ids)
    with torch.no_grad():
        assert loop.method.eval().pictures(batch)


def test_method_files_import_each_other_only_to_subclass():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [alone] = [contract for contract in contracts if contract["name"] == "method files stand alone"]
    classes = {module_of(name): method_class(name) for name in TABLE}
    for exception in alone.get("ignore_imports", []):
        child, base = exception.split(" -> ")
        assert issubclass(classes[child], classes[base]), exception


@METHODS
def test_a_row_of_the_table_can_be_read(name):
    cls = method_class(name)
    import sys

    text = sys.modules[module_of(name)].__doc__ or ""
    paper = TABLE[name].paper
    assert paper.rsplit("arXiv:" if "arXiv:" in paper else ", ", 1)[1] in text, "the table and the file name the same paper"
    assert cls.Config.model_fields["name"].default == name
