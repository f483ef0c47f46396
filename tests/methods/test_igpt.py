"""Image GPT as a method: palette, both objectives, a density that sums to one, draws."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from small_runs import runtime, small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.training.model import load_method
from ssl_pipelines.training.pretrain import pretrain
from tests.methods.likelihood_models import misfit, tiny

CLOCK = Clock(0, 8, 0)


def all_sequences(colors: int, places: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(colors), repeat=places)))


def test_all_sequences_together_have_probability_one():
    method = tiny("igpt", 2, 1, palette=3, width=8, depth=2, heads=2)
    with torch.no_grad():
        p = method.log_prob(all_sequences(3, 4)).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    assert p.max() > 2 * p.min()


def test_draws_follow_the_likelihood_and_completions_its_conditional():
    method = tiny("igpt", 2, 1, palette=2, width=8, depth=2, heads=2)
    every, n = all_sequences(2, 4), 4000
    torch.manual_seed(0)
    with torch.no_grad():
        p = method.log_prob(every).exp()
        drawn = method.sample(torch.zeros(n, 4, dtype=torch.long))
        assert misfit(drawn, every, p) < 4
        assert misfit(drawn, every, torch.full_like(p, 1 / 16)) > 8, "the test can tell them from others"
        given = torch.tensor([[1, 0, 0, 0]]).repeat(n, 1)
        drawn = method.sample(given, first=2)
    assert torch.equal(drawn[:, :2], given[:, :2])
    p = p * ((every[:, 0] == 1) & (every[:, 1] == 0))
    p = p / p.sum()
    assert misfit(drawn, every, p) < 4


@pytest.mark.parametrize("objective", ["autoregressive", "bert"])
def test_the_loss_starts_at_the_logarithm_of_the_palette(objective, digits):
    """The head is 0 at first, whatever is masked."""
    loop = small_loop(small_config("igpt", methods={"igpt": {"objective": objective}}), digits)
    output = loop.method.loss(loop.feed.batches(0, 8)[0], CLOCK)
    assert output.loss.item() == pytest.approx(math.log(12), rel=1e-6)
    assert output.metrics["bits_per_token"].item() == pytest.approx(math.log2(12), rel=1e-6)


def test_bert_averages_over_the_masked_places_of_each_image_then_over_images(digits):
    """By loops; with a fraction so small that some images have no masked place and count 0."""
    loop = small_loop(small_config("igpt", methods={"igpt": {"objective": "bert", "mask_fraction": 0.004}}), digits)
    method, batch = loop.method, loop.feed.batches(0, 8)[0]
    torch.nn.init.normal_(method.head.weight)
    tokens = method.encoder.tokens(batch.views["global"][0])
    torch.manual_seed(5)
    mask = torch.rand(tokens.shape) < 0.004
    log_p = method.head(method.encoder.last(tokens, mask)).log_softmax(2)
    per_image = []
    for row, sequence, hidden in zip(log_p, tokens, mask):
        places = hidden.nonzero().flatten().tolist()
        per_image.append(-sum(row[i, sequence[i]] for i in places) / len(places) if places else torch.zeros(()))
    assert any(not hidden.any() for hidden in mask)
    torch.manual_seed(5)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(torch.stack(per_image).mean().item(), rel=1e-5)


def test_bert_has_no_likelihood_and_its_features_come_from_masked_inputs(digits):
    loop = small_loop(small_config("igpt", methods={"igpt": {"objective": "bert", "mask_fraction": 0.9}}), digits)
    method = loop.method.eval()
    images = loop.feed.batches(0, 8)[0].views["global"][0][:2]
    assert method.log_likelihood(images) is None
    unmasked = method.encoder.stages(images)
    for name, features in method.stages(images).items():
        assert not torch.allclose(features, unmasked[name])
    made = method.pictures(loop.feed.batches(0, 8)[0])
    assert made["reconstructions"].shape == (24, 1, 16, 16)


def test_the_palette_is_learnt_from_the_images_and_travels_with_the_encoder(photos):
    from ssl_pipelines.data import Store

    loop = small_loop(small_config("igpt", methods={"igpt": {"palette": 64}}), photos)
    method, store = loop.method, Store.open(photos)
    images = torch.from_numpy(store.gather(store.pretraining_ids()[:64]).fields["image"])
    gray = method.encoder.palette.clone()
    before = method.encoder.palette.std(1).max()
    assert before == 0, "a gray ramp until it is learnt"
    method.prepare(images)
    palette = method.encoder.palette
    assert palette.std(1).max() > 0.05
    assert palette.abs().max() <= 1
    shown = loop.feed.batches(0, 8)[0].views["global"][0]

    def error() -> float:
        return (method.encoder.to_pixels(method.encoder.tokens(shown), 16) - shown).square().mean().item()

    learnt = error()
    again = palette.clone()
    method.encoder.palette.copy_(gray)
    assert learnt < error() / 2
    method.prepare(images)
    assert torch.equal(method.encoder.palette, gray), "a palette that came with weights stays"
    method.encoder.learnt.fill_(False)
    method.prepare(images)
    assert torch.equal(method.encoder.palette, again), "the same sample gives the same palette"
    assert "encoder.palette" in method.state_dict()


def test_pictures(photos):
    loop = small_loop(small_config("igpt"), photos)
    loop.method.eval()
    made = loop.method.pictures(loop.feed.batches(0, 8)[0])
    assert made["samples"].shape == (8, 3, 16, 16)
    assert made["completions"].shape == (24, 3, 16, 16)
    _, completed, original = made["completions"].unflatten(0, (8, 3)).unbind(1)
    assert torch.equal(completed[:, :, :8], original[:, :, :8])


def test_what_is_evaluated_is_the_middle_block_and_fine_tuning_reads_the_last(digits):
    loop = small_loop(small_config("igpt", methods={"igpt": {"depth": 4}}), digits)
    method = loop.method.eval()
    images = loop.feed.batches(0, 8)[0].views["global"][0]
    stages = method.stages(images)
    assert list(stages) == [f"block{k}" for k in range(5)]
    assert torch.equal(method.encode(images), stages["block2"])
    assert torch.equal(method.finetune_features(images), stages["block4"])


def test_what_cannot_work_is_refused():
    for block, message in (
        ({"heads": 16, "width": 40}, "heads=16 is to divide width=40"),
        ({"mask_fraction": 0.3}, "mask_fraction=0.3 is BERT's"),
        ({"palette": 1}, "palette"),
        ({"objective": "gpt"}, "objective"),
    ):
        with pytest.raises(InputError, match=message):
            method_config("igpt", block)
    assert method_config("igpt", {"objective": "bert", "mask_fraction": 0.3}).mask_fraction == 0.3


def test_a_training_learns_its_palette_first_and_leaves_pictures(photos, tmp_path):
    """From many images, not from the first batch; and a training that starts from it keeps it."""
    config = small_config("igpt", pretrain={"images_seen": 32})
    pretrain(config, runtime(), photos, tmp_path / "first")
    first = load_method(tmp_path / "first" / "final")
    assert first.encoder.learnt
    assert first.encoder.palette.std(1).max() > 0.05
    assert {"samples.png", "completions.png"} <= {path.name for path in (tmp_path / "first" / "pictures").iterdir()}
    again = small_config("igpt", pretrain={"images_seen": 32, "init_from": str(tmp_path / "first" / "final")})
    pretrain(again.model_copy(update={"seed": 9}), runtime(), photos, tmp_path / "second")
    assert torch.equal(load_method(tmp_path / "second" / "final").encoder.palette, first.encoder.palette)
