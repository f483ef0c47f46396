"""What a method may ask of the whole training set between two epochs, and how often."""

from __future__ import annotations

import pytest
import torch

from small_runs import on_ranks, small_config, small_loop
from ssl_pipelines.training import embedding
from ssl_pipelines.views import plain_view


def embedded(store) -> dict[str, torch.Tensor]:
    loop = small_loop(small_config("simclr"), store)
    loop.feed.ids = loop.feed.ids[:101]  # odd: one rank has a row more
    modes = []

    def pixels(images: torch.Tensor) -> torch.Tensor:
        modes.append(loop.method.training)
        return images.flatten(1)

    found = {
        "encoded": loop.embed(),
        "pixels": loop.embed(pixels),
        "mode": torch.tensor(modes),
        "after": torch.tensor(loop.method.training),
    }
    return found | {"ids": torch.from_numpy(loop.feed.ids)}


def test_two_ranks_embed_what_one_process_embeds_in_the_order_of_the_rows(digits, tmp_path, monkeypatch):
    from ssl_pipelines.data import Store

    alone = embedded(digits)
    images = torch.from_numpy(Store.open(digits).gather(alone["ids"].numpy()).fields["image"])
    assert torch.equal(alone["pixels"], plain_view(images, 16).flatten(1))
    assert alone["encoded"].shape[0] == 101
    assert not alone["mode"].any()
    assert alone["after"]
    for found in on_ranks(embedded, tmp_path / "ranks", digits):
        assert torch.equal(found["pixels"], alone["pixels"])
        torch.testing.assert_close(found["encoded"], alone["encoded"], rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(embedding, "BATCH", 7)
    torch.testing.assert_close(embedded(digits)["encoded"], alone["encoded"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("min_epochs", "steps"), [(1, 8), (4, 2), (3, 2), (100, 1)])
def test_a_short_run_is_cut_into_epochs(digits, monkeypatch, min_epochs, steps):
    from ssl_pipelines.methods.contrastive.simclr import SimCLR

    plain = small_loop(small_config("simclr"), digits)
    monkeypatch.setattr(SimCLR, "min_epochs", min_epochs)
    loop = small_loop(small_config("simclr"), digits)
    begun = []
    monkeypatch.setattr(loop.method, "before_epoch", lambda clock, embed: begun.append(clock.step))
    for step in range(8):
        assert (loop.feed.rows(step) == plain.feed.rows(step)).all(), "the order of the images stays"
        loop.run_step(step)
    assert begun == list(range(0, 8, steps))
    assert loop.clock(7).epoch == 7 // steps


def test_a_long_run_keeps_its_epochs(digits, monkeypatch):
    from ssl_pipelines.methods.contrastive.simclr import SimCLR

    monkeypatch.setattr(SimCLR, "min_epochs", 2)
    config = small_config("simclr", pretrain={"images_seen": 16 * 1000})
    loop = small_loop(config, digits)
    assert loop.feed.steps_per_epoch == len(loop.feed.ids) // 16
