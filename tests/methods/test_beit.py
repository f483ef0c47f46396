"""BEiT: codes of hidden patches, from a tokenizer that saw them. Bao et al. 2022."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import small_runs
from small_runs import small_config, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.masked.beit import BEiT
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)


class Codes(nn.Module):
    """A tokenizer by hand: the mean gray of each 4 px square, in `count` steps; `add` shifts the codes at some places."""

    def __init__(self, count: int = 7):
        super().__init__()
        self.num_tokens, self.add = count, 0

    def tokens(self, images):
        gray = F.avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)
        return ((gray * self.num_tokens).long().clamp(max=self.num_tokens - 1) + self.add) % self.num_tokens

    def picture_of(self, tokens):
        side = int(tokens.shape[1] ** 0.5)
        return F.interpolate(tokens.view(-1, 1, side, side) / self.num_tokens, scale_factor=4)


@pytest.fixture
def ready(digits, monkeypatch):
    """A loop that stands on a tokenizer of the test, and its first batch of 16."""

    def make(tokenizer: nn.Module | None = None, **changes):
        monkeypatch.setattr(small_runs, "small_upstream", lambda *_: tokenizer or Codes())
        loop = small_runs.small_loop(small_config("beit", **changes), digits)
        return loop, loop.feed.batches(0, 8)[0]

    return make


def test_the_loss_is_cross_entropy_at_hidden_places_alone(ready):
    loop, batch = ready()
    method = loop.method
    torch.manual_seed(1)
    mask = method.masks(16).numpy()
    torch.manual_seed(1)
    output = method.loss(batch, CLOCK)
    [images] = batch.views["global"]
    with torch.no_grad():
        vectors = method.encoder.embed(images)  # without positions
        vectors[torch.tensor(mask)] = method.mask_token.vector
        hidden = method.encoder.encode_tokens(vectors)[-1]
        logits = method.head(hidden).double().numpy()
    costs, right = [], 0
    for b, t in np.argwhere(mask):
        code = int(method.tokenizer.tokens(images)[b, t])
        row = logits[b, 1 + t]  # the class token comes first
        costs.append(np.log(np.exp(row).sum()) - row[code])
        right += row.argmax() == code
    assert len(costs) == mask.sum() > 16
    assert output.loss.item() == pytest.approx(np.mean(costs), rel=1e-5)
    assert output.metrics["accuracy"].item() == pytest.approx(right / len(costs))


def test_codes_of_visible_places_do_not_count(ready):
    loop, batch = ready()
    method = loop.method
    torch.manual_seed(1)
    mask = method.masks(16)
    losses = []
    for add in (0, (~mask).long(), mask.long()):
        method.tokenizer.add = add
        torch.manual_seed(1)
        losses.append(method.loss(batch, CLOCK).loss.item())
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_hidden_pixels_reach_the_loss_through_their_codes_alone(ready):
    loop, batch = ready()
    method = loop.method
    torch.manual_seed(1)
    mask = method.masks(16)
    hidden = mask.view(16, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    [images] = batch.views["global"]
    losses = []
    for pixels in (images, torch.where(hidden, 0.0, images), torch.where(hidden, images, 0.0)):
        torch.manual_seed(1)
        views = {"global": pixels.unsqueeze(0), "tokenizer": batch.views["tokenizer"]}
        losses.append(method.loss(Batch(views, batch.targets, batch.ids), CLOCK).loss.item())
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_the_tokenizer_sees_the_same_crop_and_may_see_it_at_another_size(ready):
    _, batch = ready()
    assert torch.equal(batch.views["global"], batch.views["tokenizer"])
    with pytest.raises(InputError, match=r"gives 2 x 2 codes for 8 px, the encoder has 4 x 4 patches: set .*tokenizer\.size"):
        ready(methods={"beit": {"views": {"groups": {"tokenizer": {"size": 8}}}}})
    loop, batch = ready(methods={"beit": {"views": {"groups": {"tokenizer": {"size": 8}}}}}, backbone={"patch_size": 8})
    assert batch.views["tokenizer"].shape == (1, 16, 1, 8, 8)
    assert loop.method.loss(batch, CLOCK).loss.isfinite()


def test_two_fifths_are_hidden_in_blocks(ready, digits):
    method = ready()[0].method
    count = method.masks(400).sum(1)
    assert count.max() == int(0.4 * 16)
    assert count.min() >= 1
    assert count.float().mean() > 5
    wide = build_method(small_config("beit"), data_facts(Store.open(digits)) | {"size": 32}, 0)
    count = wide.masks(200).sum(1)
    assert (count.max(), wide.grid) == (25, 8)
    assert (count == 25).float().mean() > 0.85


def test_the_encoder_is_the_papers(ready):
    method = ready()[0].method
    assert isinstance(method.encoder, RelativeViT)
    for depth, block in enumerate(method.encoder.blocks, start=1):
        assert block.ls1.gamma.detach().unique().tolist() == pytest.approx([0.1])
        assert block.attn.proj.weight.abs().max() <= 0.02 / (2 * depth) ** 0.5
    assert method.head.weight.abs().max() <= 0.02


def test_stages_are_means_of_patch_tokens(ready):
    loop, batch = ready()
    method = loop.method
    images = batch.views["global"][0]
    tokens = method.encoder.encode_tokens(method.encoder.embed(images))
    assert list(method.stages(images)) == ["block1", "block2"]
    torch.testing.assert_close(method.stages(images)["block1"], tokens[0][:, 1:].mean(1))
    torch.testing.assert_close(method.encode(images), tokens[1][:, 1:].mean(1))


def test_it_learns_codes_and_shows_them(ready):
    loop, batch = ready(pretrain={"images_seen": 16 * 60})
    losses = [loop.run_step(step).loss.item() for step in range(60)]
    assert np.mean(losses[-5:]) < 0.88 * np.mean(losses[:5])
    shown = loop.method.pictures(batch)["predicted_codes"]
    assert shown.shape == (32, 1, 16, 16)
    assert torch.equal(shown[3::4], batch.views["global"][0][:8])


def test_the_number_of_codes_is_the_tokenizers(ready):
    assert ready(Codes(11))[0].method.head.out_features == 11
    with pytest.raises(InputError, match=r"methods\.beit\.num_tokens=5 is refused: the tokenizer has 7"):
        ready(methods={"beit": {"num_tokens": 5}})


def test_a_run_that_makes_no_tokens_is_refused(ready, digits):
    other = small_method(small_config("simclr"), Store.open(digits))
    with pytest.raises(InputError, match=r"pretrain\.upstream\.tokenizer is a run of method='simclr', which makes no tokens"):
        ready(other)


def test_another_encoder_and_a_single_patch_are_refused(ready):
    with pytest.raises(InputError, match=r"needs a ViT that drops tokens, backbone\.name='resnet18' is not one"):
        small_config("beit", backbone={"name": "resnet18", "depth": None})
    with pytest.raises(InputError, match="patch_size=16 leaves one patch of 16 px: nothing to hide"):
        ready(backbone={"patch_size": 16})


def test_the_run_that_is_trained_first_has_a_code_a_patch():
    own = method_config("beit", {})

    def stride(patch_size: int, size: int, config=own) -> int:
        return BEiT.first_run("tokenizer", config, BackboneConfig(name="vit_mini", patch_size=patch_size), size)["backbone"][
            "output_stride"
        ]

    assert (stride(4, 32), stride(8, 96)) == (4, 8)
    half = method_config("beit", {"views": {"groups": {"tokenizer": {"size": 16}}}})
    assert stride(4, 32, half) == 2
    with pytest.raises(
        InputError, match="patch_size=6 gives 16 x 16 patches of 96 px, for which no tokenizer of 96 px can be trained"
    ):
        stride(6, 96)
