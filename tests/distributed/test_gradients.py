"""Gradients that leave while the backward pass runs are those of one process on the whole batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from small_runs import on_ranks
from ssl_pipelines.distributed import AveragedBackward, gradients, local_rows, world_size

WIDTH, ROWS = 8, 6


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
    return nn.Sequential(*layers).double()


def rows(seed: int) -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)[local_rows(ROWS)]


def grads(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}/{key}": p.grad for key, p in module.named_parameters() if p.grad is not None}


def passes() -> dict[str, Tensor]:
    gradients.BUCKET_BYTES = WIDTH * WIDTH * 8  # a bucket a layer
    found = {}
    net = network()
    reduced = AveragedBackward(net.parameters())
    reduced.backward(net(rows(0)).square().mean())
    found |= grads("plain", net) | {"early": torch.tensor(reduced.early)}

    net.zero_grad()
    for k in range(3):
        reduced.backward(net(rows(k)).square().mean() / 3, last=k == 2)
    found |= grads("accumulated", net)

    net.zero_grad()  # half of it is not reached
    reduced.backward(net[:4](rows(1)).square().mean())
    found |= grads("half", net)

    critic = nn.Linear(WIDTH, 1).double()  # a second optimizer, whose loss reaches the first one's parameters too
    other = AveragedBackward(critic.parameters())
    for pass_, own, module in (("first", reduced, net), ("second", other, critic)):
        net.zero_grad()
        critic.zero_grad()
        own.backward(critic(net(rows(2))).square().mean())
        found |= grads(pass_, module)
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_ranks(passes, tmp_path_factory.mktemp("ranks"))


def test_all_passes_equal_one_process_on_the_whole_batch(ranks):
    assert world_size() == 1
    alone = passes()
    for found in ranks:
        assert found.keys() == alone.keys()
        for key in alone.keys() - {"early"}:
            torch.testing.assert_close(found[key], alone[key], rtol=1e-10, atol=1e-14, msg=key)


def test_every_bucket_left_before_the_pass_was_over(ranks):
    for found in ranks:
        assert int(found["early"]) == 8  # four layers, and their biases of another size between them


def test_what_was_not_reached_has_no_gradient(ranks):
    assert not [key for key in ranks[0] if key.startswith("half/") and int(key.split("/")[1].split(".")[0]) >= 4]
