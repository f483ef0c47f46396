"""DeepMIM: MAE where the last decoder is the only one, and what the others add."""

from __future__ import annotations

import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.masked_pixels import masked_patch_loss
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.masked.deep_mim import PLACES
from ssl_pipelines.methods.masked_patches import blocks_of
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts

CLOCK = Clock(0, 8, 0)
DEPTH = {"depth": 3}


def ready(name, store, backbone=DEPTH, **own):
    loop = small_loop(small_config(name, backbone=backbone, methods={name: own}), store)
    [batch] = loop.feed.batches(0, 8)
    return loop.method.train(), batch


def gradients(method, batch) -> tuple[float, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    method.zero_grad()
    loss = method.loss(batch, CLOCK).loss
    loss.backward()
    return loss.item(), {key: value.grad.clone() for key, value in method.named_parameters() if value.grad is not None}


def test_with_the_last_decoder_alone_it_is_mae(digits):
    deep, batch = ready("deep_mim", digits, blocks=[3], decoder_depth=2)
    mae, _ = ready("mae", digits)
    mae.load_state_dict(deep.state_dict())
    (ours, our_gradients), (theirs, their_gradients) = gradients(deep, batch), gradients(mae, batch)
    assert ours == theirs
    assert our_gradients.keys() == their_gradients.keys()
    for key, value in their_gradients.items():
        assert torch.equal(our_gradients[key], value), key


def test_blocks_stand_where_the_papers_do():
    assert blocks_of(12, PLACES) == [6, 8, 10, 12]
    assert blocks_of(6, PLACES) == [3, 4, 5, 6]
    assert blocks_of(4, PLACES) == [2, 3, 3, 4]


def test_the_loss_is_the_sum_over_blocks_whose_tokens_go_in_as_they_leave_the_block(digits):
    method, batch = ready("deep_mim", digits)
    assert method.taps == [2, 3]  # of three blocks: one and a half, two, two and a half, three
    left, entered = {}, {}
    for k, block in enumerate(method.encoder.blocks, start=1):
        block.register_forward_hook(lambda module, inputs, output, k=k: left.__setitem__(k, output))
    for k, decoder in zip(method.taps, [*method.early_decoders, method.decoder]):
        decoder.register_forward_hook(lambda module, inputs, output, k=k: entered.__setitem__(k, (inputs, output)))
    torch.manual_seed(0)
    found = method.loss(batch, CLOCK)
    assert torch.equal(entered[2][0][0], left[2])
    assert torch.equal(entered[3][0][0], method.encoder.norm(left[3])), "the last through the encoder's norm"
    [images] = batch.views["global"]
    torch.manual_seed(0)
    _, target, mask = method.reconstruct(images)
    terms = [masked_patch_loss(output, target, mask).item() for _, output in entered.values()]
    assert found.loss.item() == pytest.approx(sum(terms), rel=1e-5)
    assert [value.item() for value in found.metrics.values()] == pytest.approx(terms, rel=1e-5)
    assert list(found.metrics) == ["loss_block2", "loss_block3"]


def test_decoders_share_nothing(digits):
    method, _ = ready("deep_mim", digits, blocks=[1, 2, 3])
    decoders = [*method.early_decoders, method.decoder]
    ids = [{id(parameter) for parameter in decoder.parameters()} for decoder in decoders]
    assert len(set.union(*ids)) == sum(map(len, ids))


def test_an_early_decoder_trains_the_blocks_up_to_its_own(digits):
    """Without the decoder after block 1 the gradients of later blocks stay as they are; those of block 1 do not."""
    method, batch = ready("deep_mim", digits, blocks=[1, 2, 3])
    _, whole = gradients(method, batch)
    method.taps = method.taps[1:]
    method.early_decoders = method.early_decoders[1:]
    _, rest = gradients(method, batch)
    for key in rest:
        if key.startswith(("encoder.blocks.1.", "encoder.blocks.2.", "encoder.norm.")):
            torch.testing.assert_close(rest[key], whole[key], rtol=1e-4, atol=1e-7, msg=key)
    assert not torch.allclose(rest["encoder.blocks.0.attn.qkv.weight"], whole["encoder.blocks.0.attn.qkv.weight"], rtol=1e-2)


def mae(store: Store, **changes):
    return build_method(small_config("mae", **changes), data_facts(store), 5).requires_grad_(False).eval()


def standing_on(teacher, store: Store, **own):
    config = small_config(
        "deep_mim", backbone=DEPTH, methods={"deep_mim": own}, pretrain={"upstream": {"mae": "given by the test"}}
    )
    return build_method(config, data_facts(store), 3, {"mae": teacher})


def test_hybrid_targets_go_from_the_finished_runs_prediction_to_the_truth(digits):
    store = Store.open(digits)
    teacher = mae(store)
    method = standing_on(teacher, store, blocks=[1, 2, 3])
    images = ready("mae", digits)[1].views["global"][0]
    torch.manual_seed(0)
    visible, restore, _ = method.hide(images)
    tokens = teacher.encoder.embed(images)
    kept = torch.stack([tokens[b, visible[b]] for b in range(len(images))])
    guess = teacher.decoder(teacher.encoder.encode_tokens(kept)[-1], restore, (4, 4))
    truth = method.target(images)
    found = method.targets(images, visible, restore)
    for share, target in zip((0, 0.5, 1), found, strict=True):
        torch.testing.assert_close(target, share * truth + (1 - share) * guess)
    assert not torch.allclose(guess, truth, atol=0.1)


def test_the_finished_run_sees_the_visible_patches_alone_and_is_not_trained(digits):
    store = Store.open(digits)
    method = standing_on(mae(store), store)
    _, batch = ready("mae", digits)
    [images] = batch.views["global"]
    torch.manual_seed(0)
    visible, restore, mask = method.hide(images)
    pixels = mask.view(-1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    early = method.targets(images, visible, restore)[0]
    assert torch.equal(method.targets(images + pixels * torch.rand_like(images), visible, restore)[0], early)
    before = {key: value.clone() for key, value in method.finished("mae").state_dict().items()}
    method.loss(batch, CLOCK).loss.backward()
    assert all(parameter.grad is None for parameter in method.finished("mae").parameters())
    assert all(torch.equal(value, before[key]) for key, value in method.finished("mae").state_dict().items())
    assert not [key for key in method.state_dict() if key.startswith("_upstream")]


def test_with_one_decoder_the_target_is_the_truth(digits):
    store = Store.open(digits)
    method = standing_on(mae(store), store, blocks=[3])
    images = ready("mae", digits)[1].views["global"][0]
    visible, restore, _ = method.hide(images)
    [only] = method.targets(images, visible, restore)
    assert torch.equal(only, method.target(images))


def test_a_finished_run_is_welcome_and_not_needed():
    assert small_config("deep_mim").pretrain.upstream == {}
    assert small_config("deep_mim", pretrain={"upstream": {"mae": "folder"}}).pretrain.upstream == {"mae": "folder"}
    with pytest.raises(InputError, match=r"pretrain.upstream.teacher='folder' would be ignored. Allowed: mae"):
        small_config("deep_mim", pretrain={"upstream": {"teacher": "folder"}})
    with pytest.raises(InputError, match=r"pretrain.upstream.mae='folder' would be ignored"):
        RunConfig.resolve({"method": "mae", "pretrain": {"images_seen": 8, "upstream": {"mae": "folder"}}})


def test_another_finished_run_is_refused(digits):
    store = Store.open(digits)
    other = build_method(small_config("simclr"), data_facts(store), 5)
    with pytest.raises(InputError, match=r"pretrain.upstream.mae is no MAE but SimCLR: allowed is a run of method=mae"):
        standing_on(other, store)
    with pytest.raises(InputError, match=r"patches of 8 px, here they have 4"):
        standing_on(mae(store, backbone={"patch_size": 8}), store)
    with pytest.raises(InputError, match=r"normalize_targets=False, there or here"):
        standing_on(mae(store, methods={"mae": {"normalize_targets": False}}), store)


@pytest.mark.parametrize("blocks", [[1, 2], [2, 1, 3], [1, 1, 3], [0, 3], [2, 3, 4], []])
def test_blocks_that_are_not_there_are_refused(blocks):
    with pytest.raises(
        InputError,
        match=r"methods.deep_mim.blocks=.*: allowed are rising numbers from 1 to backbone.depth=3, the last one included",
    ):
        small_config("deep_mim", backbone=DEPTH, methods={"deep_mim": {"blocks": blocks}})
