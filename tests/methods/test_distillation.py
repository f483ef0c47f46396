"""What is particular to SimSiam, BYOL, Barlow Twins and VICReg."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.networks.norm import BatchNorm

CLOCK = Clock(0, 8, 0)


def ready(name, store, **changes):
    loop = small_loop(small_config(name, methods={name: changes}), store)
    loop.method.train()
    return loop, loop.method, loop.feed.batches(0, 8)[0]


def mean_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.detach().double().numpy(), b.detach().double().numpy()
    return float(np.mean([x @ y / math.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]))


def gradients(method, loss: torch.Tensor) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(method.encoder.parameters()))
    return torch.cat([grad.flatten() for grad in found])


def test_simsiam_is_the_mean_of_both_directions(digits):
    _, method, batch = ready("simsiam", digits)
    z1, z2 = (method.projector(method.encoder(x)) for x in batch.views["global"])
    p1, p2 = method.predictor(z1), method.predictor(z2)
    expected = -(mean_cosine(p1, z2) + mean_cosine(p2, z1)) / 2
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(expected, abs=1e-6)
    assert abs(expected) < 0.9


def test_simsiams_gradient_is_that_of_fixed_targets(digits):
    """Two passes: in the second the targets are numbers of the first."""
    _, method, batch = ready("simsiam", digits)
    x1, x2 = batch.views["global"]
    with torch.no_grad():
        t1, t2 = (torch.nn.functional.normalize(method.projector(method.encoder(x)), dim=1) for x in (x1, x2))
    z1, z2 = (method.projector(method.encoder(x)) for x in (x1, x2))
    p1, p2 = (torch.nn.functional.normalize(method.predictor(z), dim=1) for z in (z1, z2))
    stopped = gradients(method, -((p1 * t2).sum(1).mean() + (p2 * t1).sum(1).mean()) / 2)
    torch.testing.assert_close(gradients(method, method.loss(batch, CLOCK).loss), stopped, rtol=1e-4, atol=1e-6)


def test_simsiams_heads_are_the_papers(digits):
    _, method, _ = ready("simsiam", digits, projection_layers=3, projection_dim=96, predictor_dim=24)
    e = method.encoder.dim
    assert [tuple(p.shape) for p in method.projector.parameters() if p.ndim > 1] == [(e, e), (e, e), (96, e)]
    assert not method.projector[-1].affine
    assert [type(layer) for layer in method.predictor] == [torch.nn.Linear, BatchNorm, torch.nn.ReLU, torch.nn.Linear]
    assert method.predictor[-1].bias is not None


def test_simsiams_predictor_does_not_slow_down(digits):
    loop, method, _ = ready("simsiam", digits)
    for step in range(8):
        loop.run_step(step)
    [(optimizer, config)] = loop.optimizers.values()
    mine = {id(p) for p in method.predictor.parameters()}
    rates = {any(id(p) in mine for p in group["params"]): group["lr"] for group in optimizer.param_groups}
    assert rates[True] == pytest.approx(config.lr * 16 / 256)
    assert rates[False] < rates[True] / 2


def test_byol_is_the_squared_distance_of_unit_rows_summed_over_directions(digits):
    _, method, batch = ready("byol", digits)
    x1, x2 = batch.views["first"][0], batch.views["second"][0]
    p1, p2 = (method.predictor(method.projector(method.encoder(x))).detach().double().numpy() for x in (x1, x2))
    z1, z2 = (method.target_projector(method.target_encoder(x)).detach().double().numpy() for x in (x1, x2))
    total = 0.0
    for p, z in ((p1, z2), (p2, z1)):
        for a, b in zip(p, z, strict=True):
            total += sum((a / math.sqrt(a @ a) - b / math.sqrt(b @ b)) ** 2)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(total / len(p1), rel=1e-5)


def test_byols_target_has_no_gradient_and_follows_in_closed_form(digits):
    loop, method, batch = ready("byol", digits)
    method.loss(batch, CLOCK).loss.backward()
    pairs = [(f"target_{name}", name) for name in ("encoder", "projector")]
    for copy, _ in pairs:
        assert all(p.grad is None and not p.requires_grad for p in getattr(method, copy).parameters())
    start = {copy: [p.clone() for p in getattr(method, copy).parameters()] for copy, _ in pairs}
    loop.run_step(0)
    for copy, original in pairs:
        for old, new, online in zip(
            start[copy], getattr(method, copy).parameters(), getattr(method, original).parameters(), strict=True
        ):
            assert not torch.equal(old, online)
            torch.testing.assert_close(new, 0.97 * old + 0.03 * online)  # the online weights after their step


def test_byols_target_keeps_its_own_batch_statistics(digits):
    _, method, batch = ready("byol", digits)
    method.loss(batch, CLOCK)
    before = method.target_encoder.stem[1].running_mean.clone()
    method.after_step([], Clock(0, 8, 0))
    assert torch.equal(method.target_encoder.stem[1].running_mean, before)
    assert method.target_encoder.stem[1].num_batches_tracked == 2  # a pass a view


def test_byols_momentum_ends_at_one(digits):
    _, method, _ = ready("byol", digits, momentum=0.5)
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    before = next(method.target_encoder.parameters()).clone()
    method.after_step([], Clock(8, 8, 0))
    assert torch.equal(next(method.target_encoder.parameters()), before)
    method.after_step([], Clock(0, 8, 0))
    torch.testing.assert_close(next(method.target_encoder.parameters()), before + 0.5)


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_lengths_of_the_targets_do_not_matter(name, digits):
    _, method, batch = ready(name, digits)
    values = []
    for scale in (1.0, 7.0):
        head = method.target_projector if name == "byol" else method.predictor
        handle = head.register_forward_hook(lambda module, inputs, output, scale=scale: output * scale)
        values.append(method.loss(batch, CLOCK).loss.item())
        handle.remove()
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_barlow_twins_is_numpys_correlation(digits):
    _, method, batch = ready("barlow_twins", digits, projection_dim=6, off_diagonal_weight=0.2)
    views = (batch.views["first"][0], batch.views["second"][0])
    z1, z2 = (method.projector(method.encoder(x)).detach().double().numpy() for x in views)
    z1, z2 = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (z1, z2))
    total = 0.0
    for i in range(6):
        for j in range(6):
            c = sum(z1[b, i] * z2[b, j] for b in range(16)) / 16
            total += (1 - c) ** 2 if i == j else 0.2 * c**2
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(total, rel=1e-4)


def test_vicreg_weighs_its_three_terms(digits):
    _, method, batch = ready("vicreg", digits, projection_dim=6, invariance_weight=3, variance_weight=5, covariance_weight=7)
    views = (batch.views["first"][0], batch.views["second"][0])
    z1, z2 = (method.expander(method.encoder(x)).detach().double().numpy() for x in views)
    s, v, c = np.mean((z1 - z2) ** 2), 0.0, 0.0
    for z in (z1, z2):
        cov = np.cov(z, rowvar=False)
        v += np.mean([max(0, 1 - math.sqrt(cov[d, d] + 1e-4)) for d in range(6)]) / 2
        c += sum(cov[i, j] ** 2 for i in range(6) for j in range(6) if i != j) / 6
    output = method.loss(batch, CLOCK)
    assert output.loss.item() == pytest.approx(3 * s + 5 * v + 7 * c, rel=1e-4)
    assert {key: round(value.item(), 4) for key, value in output.metrics.items()} == {
        "invariance": pytest.approx(s, abs=1e-4),
        "variance": pytest.approx(v, abs=1e-4),
        "covariance": pytest.approx(c, abs=1e-4),
    }


@pytest.mark.parametrize(("variance_of", "expected"), [("mean", 24.75), ("sum", 49.5)])
def test_vicreg_of_a_collapsed_embedding(variance_of, expected, digits):
    _, method, batch = ready("vicreg", digits, variance_of=variance_of)
    with torch.no_grad():
        method.expander[-1].weight.zero_()
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(expected)


REFUSED = [
    ("byol", {"momentum": 1.5}, r"^methods\.byol\.momentum=1\.5 is refused: allowed is less than or equal to 1"),
    ("byol", {"temperature": 0.1}, r"^methods\.byol\.temperature: "),
    ("simsiam", {"temperature": 0.1}, r"^methods\.simsiam\.temperature: "),
    ("simsiam", {"projection_layers": 4}, r"^methods\.simsiam\.projection_layers=4 is refused"),
    (
        "barlow_twins",
        {"off_diagonal_weight": 0},
        r"^methods\.barlow_twins\.off_diagonal_weight=0 is refused: allowed is greater than 0",
    ),
    ("vicreg", {"invariance_weight": 0, "variance_weight": 0, "covariance_weight": 0}, r"one of invariance_weight"),
    ("invaspread", {"form": "both"}, r"^methods\.invaspread\.form='both' is refused: allowed is 'paper' or 'code'"),
    ("byol", {"views": {"groups": {"global": {"count": 2}}}}, r"views\.groups\.global would be ignored\. Allowed: first, second"),
]


@pytest.mark.parametrize(("name", "values", "message"), REFUSED)
def test_bad_blocks_are_refused_in_one_line(name, values, message):
    with pytest.raises(InputError, match=message):
        method_config(name, values)
