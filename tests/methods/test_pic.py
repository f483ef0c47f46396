"""PIC: its softmax, its windows, and what becomes of weights that are not seen. Cao et al. 2020, sections 3.1 to 3.3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.contrastive.pic import sliding_windows
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("pic", methods={"pic": block}), store)
    loop.method.double().train()
    [batch] = loop.feed.batches(0, 8)
    return loop, Batch({"global": batch.views["global"].double()}, batch.targets, batch.ids)


def test_over_one_lap_every_image_is_seen_as_often_as_windows_hold_it():
    n, window, stride = 60, 20, 5
    lap = sliding_windows(n, window, stride, 0, n // stride * window, seed=1)
    assert torch.bincount(lap, minlength=n).tolist() == [window // stride] * n
    for k, (mine, following) in enumerate(zip(lap.split(window), lap.split(window)[1:], strict=False)):
        assert len(set(mine.tolist())) == window, k
        assert len(set(mine.tolist()) & set(following.tolist())) == window - stride, k


def test_where_the_stride_does_not_divide_the_images_none_is_seen_less_often():
    n, window, stride = 62, 20, 5
    counts = torch.bincount(sliding_windows(n, window, stride, 0, 13 * window, seed=1), minlength=n)
    assert counts.min() == 4
    assert counts.max() <= 5


def test_the_list_is_one_however_it_is_asked_for_and_another_seed_gives_another():
    whole = sliding_windows(50, 12, 4, 0, 400, seed=3)
    parts = [sliding_windows(50, 12, 4, start, 50, seed=3) for start in range(0, 400, 50)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(sliding_windows(50, 12, 4, 0, 400, seed=4), whole)
    assert not torch.equal(whole[:12].sort().values, whole[156:168].sort().values), "13 windows make a lap; the next is another"


def test_a_window_of_all_images_is_a_permutation_an_epoch():
    epochs = [sliding_windows(30, 30, 30, 30 * k, 30, seed=2) for k in range(3)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(30))
    assert not torch.equal(epochs[0], epochs[1])


def test_epochs_draw_the_windows_and_a_resumed_run_the_same(digits):
    first, _ = ready(digits)
    torch.manual_seed(1)
    n = len(first.feed.ids)
    drawn = [first.method.before_epoch(Clock(0, 99, epoch), first.embed).ids for epoch in range(2)]
    assert first.method.window == 8 * first.method.stride
    windows = drawn[0].split(first.method.window)
    assert all(len(set(window.tolist())) == len(window) for window in windows)
    expected = sliding_windows(n, first.method.window, first.method.stride, 0, 2 * n, int(first.method.seed))
    assert torch.equal(torch.cat(drawn), expected)
    second, _ = ready(digits)
    second.method.load_state_dict(first.method.state_dict())
    torch.manual_seed(2)
    assert torch.equal(second.method.before_epoch(Clock(0, 99, 1), second.embed).ids, drawn[1])


def test_with_all_classes_it_is_a_cosine_classifier_by_loops(digits):
    loop, batch = ready(digits, recent_fraction=1.0)
    method = loop.method
    with torch.no_grad():
        z = method.projector(method.encoder(batch.views["global"][0])).numpy()
    weight, total = method.weight.detach().numpy(), 0.0
    for b in range(16):
        cosines = [float(z[b] @ w / math.sqrt((z[b] @ z[b]) * (w @ w))) for w in weight]
        e = [math.exp(c / 0.2) for c in cosines]
        total -= math.log(e[int(batch.ids[b])] / sum(e))
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(total / 16, rel=1e-9)


def test_the_softmax_runs_over_the_classes_seen_last(digits):
    """A list of what was drawn, newest last, kept by hand; some images come twice."""
    loop, batch = ready(digits, recent_fraction=0.1)
    method, random, told = loop.method, np.random.default_rng(0), []
    n, k = len(method.weight), method.recent
    assert k == round(0.1 * n) > 16
    for step in range(12):
        ids = torch.from_numpy(random.integers(0, n, 16))
        ids[0] = ids[1]
        for i in ids.tolist():
            if i in told:
                told.remove(i)
            told.append(i)
        output = method.loss(Batch(batch.views, {}, ids), CLOCK)
        _, classes = method.visit(ids)
        assert len(classes) == k
        assert set(told[-k:]) <= set(classes.tolist()), step
        rows = sorted(classes.tolist())
        with torch.no_grad():
            z = F.normalize(method.projector(method.encoder(batch.views["global"][0])), dim=1)
            logits = z @ F.normalize(method.weight[rows], dim=1).T / 0.2
            expected = F.cross_entropy(logits, torch.tensor([rows.index(i) for i in ids.tolist()]))
        assert output.loss.item() == pytest.approx(expected.item(), rel=1e-9)
        method.after_step([output], CLOCK)
    assert len(told) > k, "the list was cut"


def test_gradients_reach_the_weights_of_the_softmax_alone(digits):
    loop, batch = ready(digits)
    loop.method.loss(batch, CLOCK).loss.backward()
    _, classes = loop.method.visit(batch.ids)
    touched = loop.method.weight.grad.abs().sum(1).nonzero().squeeze(1)
    assert set(touched.tolist()) == set(classes.tolist())
    assert len(classes) == max(16, loop.method.recent) < len(loop.method.weight)


def test_unseen_weights_move_as_the_corrected_update_says():
    """n steps of heavy ball and decay without a gradient: (w, u)_n = A^n (w, u)_0, A = [[1 - lr wd, -lr mu], [wd, mu]]."""
    lr, mu, wd, steps = 0.3, 0.9, 0.05, 7
    weight = torch.nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=mu, weight_decay=wd)
    weight.square().sum().backward()
    optimizer.step()
    w, u = weight.detach().numpy().copy(), optimizer.state[weight]["momentum_buffer"].numpy().copy()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (weight[[0, 2]] ** 3).sum().backward()  # rows 1 and 3 are outside
        optimizer.step()
    a = np.linalg.matrix_power(np.array([[1 - lr * wd, -lr * mu], [wd, mu]]), steps)
    for row in (1, 3):
        np.testing.assert_allclose(weight.detach().numpy()[row], a[0, 0] * w[row] + a[0, 1] * u[row], rtol=1e-12)
    assert not np.allclose(weight.detach().numpy()[0], a[0, 0] * w[0] + a[0, 1] * u[0])


def test_a_window_of_too_few_images_is_refused(digits):
    with pytest.raises(InputError, match=r"methods.pic.window_fraction=0.01 of \d+ images is a window of fewer than visits=8"):
        build_method(small_config("pic", methods={"pic": {"window_fraction": 0.01}}), data_facts(Store.open(digits)), 0)
    with pytest.raises(InputError, match="recent_fraction"):
        small_config("pic", methods={"pic": {"recent_fraction": 0}})
