"""The prior over code maps: causal, with full context, a distribution, and sampled as it says."""

from __future__ import annotations

from itertools import product

import torch

from ssl_pipelines.networks.code_prior import CodePrior


def influence(prior: CodePrior, side: int) -> torch.Tensor:
    """(T, T) bool: does place j move the logits of place i? By gradients through the embedded codes."""
    codes = torch.randint(5, (1, side, side))
    x = prior.embed(codes).detach().requires_grad_()
    prior.embed = torch.nn.Module()
    prior.embed.forward = lambda _: x
    logits = prior(codes)[0].flatten(1)  # (K, T)
    rows = []
    for t in range(side * side):
        [grad] = torch.autograd.grad(logits[:, t].pow(2).sum(), x, retain_graph=True)
        rows.append(grad.abs().sum(3).flatten() > 0)
    return torch.stack(rows)


def test_a_place_sees_all_places_before_it_and_none_after():
    torch.manual_seed(0)
    seen = influence(CodePrior(5, 24, 4).double(), 5)
    assert torch.equal(seen, torch.ones(25, 25).tril(-1).bool())


def test_how_far_it_sees_is_a_matter_of_depth():
    torch.manual_seed(0)
    seen = influence(CodePrior(5, 24, 1).double(), 6).view(6, 6, 6, 6)
    assert seen[5, 5].any(1).tolist() == [False, False, False, True, True, True]  # depth + 1 rows above
    assert seen[5, 5, 5].tolist() == [False, False, True, True, True, False]  # 2 depth + 1 places to the left


def test_probabilities_of_all_maps_sum_to_one():
    torch.manual_seed(0)
    prior = CodePrior(3, 8, 2).double()
    maps = torch.tensor(list(product(range(3), repeat=4))).view(-1, 2, 2)  # all 81
    log_p = prior(maps).log_softmax(1).gather(1, maps.unsqueeze(1)).sum((1, 2, 3))
    torch.testing.assert_close(log_p.exp().sum(), torch.ones((), dtype=torch.float64))
    assert log_p.exp().std() > 1e-3


def test_samples_are_as_frequent_as_the_prior_says():
    torch.manual_seed(0)
    prior = CodePrior(2, 8, 2)
    with torch.no_grad():
        prior.head.weight.mul_(8)
        maps = torch.tensor(list(product(range(2), repeat=4))).view(-1, 2, 2)
        p = prior(maps).log_softmax(1).gather(1, maps.unsqueeze(1)).sum((1, 2, 3)).exp()
    drawn = prior.sample(4000, 2, 2).flatten(1) @ torch.tensor([8, 4, 2, 1])
    frequency = torch.bincount(drawn, minlength=16) / 4000
    chi_square = (4000 * (frequency - p).square() / p).sum().item()
    assert chi_square < 37.7  # 15 degrees of freedom, one in a thousand
    assert (p - 1 / 16).abs().max() > 0.02


def test_sampling_reads_the_logits_that_training_would(monkeypatch):
    """The draw is replaced by the most likely code: then every code is what the whole network says of the whole sample."""
    torch.manual_seed(0)
    prior = CodePrior(7, 16, 2)
    monkeypatch.setattr(torch, "multinomial", lambda p, count: p.argmax(1, keepdim=True))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(2)
        codes = prior.sample(3, 6, 5)
        assert torch.equal(prior(codes).argmax(1), codes)
    assert len(codes.unique()) > 1


def test_it_learns_a_pattern_and_paints_it():
    """Every row counts up from 0, the next row from 1, and so on: all but nothing is left to chance."""
    torch.manual_seed(0)
    prior = CodePrior(4, 16, 2)
    pattern = (torch.arange(4) + torch.arange(4).unsqueeze(1)) % 4
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(prior(pattern.expand(8, 4, 4)), pattern.expand(8, 4, 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert (prior.sample(20, 4, 4) == pattern).float().mean() > 0.95
