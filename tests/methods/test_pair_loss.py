"""SimCLR by every loss over two views: the block of the loss, what it refuses, and that it is the loss that was asked for."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.align_uniform import align_uniform
from ssl_pipelines.losses.debiased import debiased
from ssl_pipelines.losses.flat_nce import flat_nce
from ssl_pipelines.losses.hard_negative import hard_negative
from ssl_pipelines.losses.info_nce import symmetric_info_nce
from ssl_pipelines.losses.inva_spread import inva_spread, inva_spread_released
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.losses.triplet import batch_hard_triplet, semi_hard_triplet
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.contrastive.simclr import SimCLR
from ssl_pipelines.methods.pair_loss import NAMES
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.training.config import RunConfig

CLOCK = Clock(0, 8, 0)


def block(**values):
    return method_config("simclr", values)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_name_is_the_block_with_the_papers_values(name):
    config = block(loss=name)
    assert config.loss.name == name
    assert config == block(loss={"name": name})
    assert config == SimCLR.Config(loss=name)
    assert config.temperature == {"inva_spread": 0.1, "clip": 0.07, "triplet": None, "align_uniform": None}.get(name, 0.5)


def test_the_default_is_what_it_was():
    assert block() == SimCLR.Config()
    assert (block().loss.name, block().temperature) == ("nt_xent", 0.5)
    assert block(temperature=0.2).temperature == 0.2


def test_a_block_reaches_its_keys_and_survives_the_model_folder():
    config = block(loss={"name": "hard_negative", "beta": 2}, temperature=0.3)
    assert (config.loss.beta, config.loss.positive_prior, config.temperature) == (2, 0.1, 0.3)
    for loss in ("triplet", "clip", {"name": "hard_negative", "beta": 2}):
        run = RunConfig.resolve({"method": "simclr", "methods": {"simclr": {"loss": loss}}, "pretrain": {"images_seen": 64}})
        assert RunConfig.load(run.dump()) == run


REFUSED = [
    ({"loss": "debiassed"}, r"^methods\.simclr\.loss='debiassed' is refused: .*did you mean 'debiased'\? Allowed: align_uniform, "),
    ({"loss": {"name": "debiased", "beta": 1}}, r"^methods\.simclr\.loss\.beta: .*Allowed: name, positive_prior$"),
    ({"loss": {"positive_prior": 0.2}}, r"^methods\.simclr\.loss\.positive_prior: .*Allowed: name$"),
    (
        {"loss": {"name": "debiased", "positive_prior": 1}},
        r"^methods\.simclr\.loss\.positive_prior=1 is refused: allowed is less than 1",
    ),
    ({"loss": {"name": "triplet", "margn": 1}}, r"did you mean 'margin'"),
    ({"loss": "triplet", "temperature": 0.2}, r"^methods\.simclr: temperature=0\.2 would be ignored: loss=triplet reads none"),
    ({"loss": "align_uniform", "temperature": 0.5}, r"temperature=0\.5 would be ignored"),
    ({"temperature": None}, r"temperature=None: loss=nt_xent needs a number"),
    ({"loss": {"name": "triplet", "margin": "soft"}}, r"margin='soft' is a form of mining='batch_hard'"),
    ({"loss": 3}, r"^methods\.simclr\.loss=3 is refused"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_the_loss_does_not_read_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        block(**values)


EXPECTED = {
    "nt_xent": (None, lambda a, b: nt_xent(a, b, 0.5)),
    "info_nce": (None, lambda a, b: symmetric_info_nce(a, b, 0.5)),
    "clip": (None, lambda a, b: symmetric_info_nce(a, b, 0.07)),
    "inva_spread": (None, lambda a, b: inva_spread(a, b, 0.1)),
    "inva_spread, code": ({"form": "code"}, lambda a, b: inva_spread_released(a, b, 0.1)),
    "triplet": (None, lambda a, b: semi_hard_triplet(a, b, 0.2)),
    "triplet, hard": ({"mining": "batch_hard", "margin": 0.4}, lambda a, b: batch_hard_triplet(a, b, 0.4)),
    "triplet, soft": ({"mining": "batch_hard", "margin": "soft"}, lambda a, b: batch_hard_triplet(a, b, 0, "softplus")),
    "align_uniform": ({"alpha": 1, "t": 3, "align_weight": 2}, lambda a, b: align_uniform(a, b, 1, 3, 2, 1)),
    "debiased": ({"positive_prior": 0.3}, lambda a, b: debiased(a, b, 0.5, 0.3)),
    "hard_negative": ({"positive_prior": 0.2, "beta": 3}, lambda a, b: hard_negative(a, b, 0.5, 0.2, 3)),
    "flat_nce": (None, lambda a, b: flat_nce(a, b, 0.5)),
}


@pytest.mark.parametrize("which", EXPECTED)
def test_the_loss_is_the_one_that_was_named_and_trains(which, digits):
    changes, expected = EXPECTED[which]
    loss = {"name": which.split(",")[0], **(changes or {})}
    loop = small_loop(small_config("simclr", methods={"simclr": {"loss": loss}}), digits)
    method, [batch] = loop.method, loop.feed.batches(0, 8)
    found = method.loss(batch, CLOCK)
    z1, z2 = (method.projector(method.encoder(x)) for x in batch.views["global"])
    assert found.loss.item() == pytest.approx(expected(z1, z2).item(), rel=1e-6)
    before = {key: value.clone() for key, value in method.named_parameters()}
    for step in range(2):
        assert loop.run_step(step).loss.isfinite()
    assert not [key for key, value in method.named_parameters() if torch.equal(value, before[key])]


def test_what_is_logged_beside_the_loss(digits):
    def metrics(loss):
        loop = small_loop(small_config("simclr", methods={"simclr": {"loss": loss}}), digits)
        torch.manual_seed(0)
        return loop.run_step(0).metrics

    assert metrics("nt_xent") == {}
    assert 0 < metrics("flat_nce")["nt_xent"].item() < math.log(31) + 1  # the loss itself is 1 and says nothing
    assert metrics("clip")["temperature"].item() == pytest.approx(0.07)
    assert metrics("align_uniform").keys() == {"alignment", "uniformity"}


def test_clips_temperature_is_held_above_its_bound_and_leaves_it_again(digits):
    changes = {"methods": {"simclr": {"loss": {"name": "clip", "max_scale": 20}}}}
    loop = small_loop(small_config("simclr", **changes), digits)
    learnt = loop.method.criterion.learnt
    with torch.no_grad():
        learnt.log_scale.fill_(9.0)
    loop.run_step(0)
    assert learnt.log_scale.item() == pytest.approx(math.log(20))
    [batch] = loop.feed.batches(1, 8)
    [slope] = torch.autograd.grad(loop.method.loss(batch, CLOCK).loss, [learnt.log_scale])
    assert slope != 0


def test_clips_temperature_has_a_small_rate_of_its_own(digits):
    loop = small_loop(small_config("simclr", methods={"simclr": {"loss": "clip"}}), digits)
    loop.run_step(0)
    [(optimizer, _)] = loop.optimizers.values()
    rates = {group["lr"] for group in optimizer.param_groups if any(p.ndim == 0 for p in group["params"])}
    others = {group["lr"] for group in optimizer.param_groups if any(p.ndim > 0 for p in group["params"])}
    assert rates == {0.01 * rate for rate in others}
