"""What is particular to InvaSpread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.views import plain_view

CLOCK = Clock(0, 8, 0)


def ready(store, **changes):
    loop = small_loop(small_config("invaspread", methods={"invaspread": changes}), store)
    return loop, loop.feed.batches(0, 8)[0]


def test_the_loss_is_the_papers_equation_on_the_plain_and_the_augmented_view(digits):
    loop, batch = ready(digits, temperature=0.2)
    method = loop.method
    f, g = (method.embedder(method.encoder(batch.views[name][0])).detach().double().numpy() for name in ("plain", "augmented"))
    f, g = (np.stack([row / math.sqrt(row @ row) for row in z]) for z in (f, g))
    total = 0.0
    for i in range(len(f)):
        total -= math.log(math.exp(f[i] @ g[i] / 0.2) / sum(math.exp(f[k] @ g[i] / 0.2) for k in range(len(f))))
        for j in range(len(f)):
            if j != i:
                total -= math.log(1 - math.exp(f[i] @ f[j] / 0.2) / sum(math.exp(f[k] @ f[j] / 0.2) for k in range(len(f))))
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(total / len(f), rel=1e-5)


def test_one_view_is_the_plain_image_and_the_other_is_not(digits):
    loop, batch = ready(digits)
    pixels = loop.feed.store.gather(loop.feed.ids[loop.feed.rows(0)]).fields["image"]
    assert torch.equal(batch.views["plain"][0], plain_view(torch.from_numpy(pixels), loop.method.image_size))
    assert not torch.allclose(batch.views["augmented"][0], batch.views["plain"][0], atol=0.05)


def test_the_embedding_is_what_is_evaluated(digits):
    loop, batch = ready(digits, embedding_dim=7)
    z = loop.method.eval().encode(batch.views["plain"][0])
    assert z.shape == (16, 7)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(16))


def test_the_form_of_the_code_is_another_loss(digits):
    values = []
    for form in ("paper", "code"):
        loop, batch = ready(digits, form=form)
        values.append(loop.method.loss(batch, CLOCK).loss.item())
    assert values[0] != pytest.approx(values[1], rel=1e-3)
