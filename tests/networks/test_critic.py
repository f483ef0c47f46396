"""The critic: a logit an image, at any size, and it can learn to tell."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.losses.adversarial import critic_loss
from ssl_pipelines.networks.critic import Critic


@pytest.mark.parametrize("size", [8, 16, 28, 32, 96])
def test_a_logit_an_image(size):
    assert Critic(1, size, 4)(torch.randn(3, 1, size, size)).shape == (3, 1)


def test_it_learns_to_tell_noise_from_stripes():
    torch.manual_seed(0)
    critic = Critic(1, 16, 8)
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.5, 0.999))
    stripes = torch.sign(torch.randn(16, 1, 1, 16)).expand(-1, -1, 16, -1)
    losses = []
    for _ in range(25):
        loss = critic_loss(critic(stripes), critic(torch.sign(torch.randn(16, 1, 16, 16))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 < losses[0]
