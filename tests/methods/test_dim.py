"""What is particular to Deep InfoMax."""

from __future__ import annotations

import math

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.mutual_information import mutual_information_loss, place_scores
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config, resolved_backbone

CLOCK = Clock(0, 8, 0)


def ready(store, **block):
    loop = small_loop(small_config("dim", methods={"dim": block}), store)
    return loop, loop.feed.batches(0, 8)[0]


@pytest.mark.parametrize("measure", ["jsd", "info_nce", "dv"])
def test_local_bound_compares_the_code_with_places_of_a_middle_map(digits, measure):
    loop, batch = ready(digits, measure=measure, prior_weight=0, local_stage="layer2")
    method = loop.method.eval()
    images = batch.views["global"][0]
    places = method.encoder.maps(images)["layer2"]
    assert places.shape[2:] == (4, 4)
    whole = method.local_nets[0](method.to_code(method.encoder(images))[:, :, None, None])[:, :, 0, 0]
    scores = place_scores(whole, method.local_nets[1](places).flatten(2))
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(mutual_information_loss(*scores, measure).item(), rel=1e-5)


def test_weights_add_local_global_and_prior(digits):
    loop, batch = ready(digits, global_weight=0.5, local_weight=2.0, prior_weight=0.25)
    output = loop.method.eval().loss(batch, CLOCK)
    m = output.metrics
    assert output.loss.item() == pytest.approx((0.5 * m["global"] + 2 * m["local"] + 0.25 * m["prior"]).item(), rel=1e-5)
    before = {key: value.clone() for key, value in loop.method.named_parameters()}
    loop.run_step(0)
    assert not [key for key, value in loop.method.named_parameters() if torch.equal(value, before[key])]


def test_each_optimizer_moves_its_own_side(digits):
    loop, batch = ready(digits)
    method = loop.method
    sides = {name: {id(p) for g in optimizer.param_groups for p in g["params"]} for name, (optimizer, _) in loop.optimizers.items()}
    adversary = {id(p) for p in method.discriminator.parameters()}
    assert sides["prior"] == adversary
    assert not sides["main"] & adversary
    first, second = method.losses(batch, CLOCK)
    assert (first.optimizer, second.optimizer) == ("main", "prior")
    second.loss.backward()
    assert all(p.grad is None for p in method.encoder.parameters()), "the adversary sees detached codes"
    assert all(p.grad is not None for p in method.discriminator.parameters())


def test_an_undecided_adversary_costs_its_closed_form(digits):
    loop, batch = ready(digits)
    for parameter in loop.method.discriminator[-1].parameters():
        torch.nn.init.zeros_(parameter)
    first, second = loop.method.losses(batch, CLOCK)
    assert first.metrics["prior"].item() == pytest.approx(math.log(2), rel=1e-6)
    assert second.loss.item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_the_adversary_learns_to_tell_a_narrow_code_and_the_encoder_to_fool_it(digits):
    """Codes near 0 have sigmoids near 1/2: easily told from uniform ones. The encoder's gradient then widens them."""
    loop, _ = ready(digits, prior_lr=1e-3)
    method = loop.method
    code = 0.1 * torch.randn(64, 64)
    optimizer = torch.optim.AdamW(method.discriminator.parameters(), lr=1e-3)
    values = []
    for step in range(80):
        torch.manual_seed(step)
        loss = method.discriminate(code).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.2 < values[0]
    code.requires_grad_()
    torch.nn.functional.softplus(-method.discriminator(code.sigmoid())).mean().backward()
    wider = code.detach() - 100 * code.grad
    assert wider.std() > code.std()


def test_what_cannot_work_is_refused(digits):
    with pytest.raises(InputError, match="leave nothing to learn"):
        method_config("dim", {"local_weight": 0})
    with pytest.raises(InputError, match=r"prior_lr=0\.01 is the adversary's"):
        method_config("dim", {"prior_weight": 0, "prior_lr": 0.01})
    with pytest.raises(InputError, match="needs a ResNet, "):
        resolved_backbone("dim", {"name": "vit_mini"})
    config = small_config("dim", methods={"dim": {"local_stage": "layer3", "views": {"size": 8}}})
    with pytest.raises(InputError, match="local_stage='layer3' is one place of views of 8 px"):
        small_method(config, Store.open(digits))
