"""LocalMIM: where its decoders stand, what each predicts, and how partly hidden cells count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop
from ssl_pipelines.algorithms.hog import glyphs, hog
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.masked_pixels import normalize_patches
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.masked.local_mim import LocalMIM
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts

CLOCK = Clock(0, 8, 0)


def ready(store, backbone=None, **own):
    loop = small_loop(small_config("local_mim", backbone=backbone or {"depth": 3}, methods={"local_mim": own}), store)
    [batch] = loop.feed.batches(0, 8)
    return loop.method.train(), batch, batch.views["global"][0]


def test_the_loss_by_loops_with_the_hidden_share_of_every_cell(digits):
    method, batch, images = ready(digits)
    assert method.cells == [2, 4, 8]
    torch.manual_seed(0)
    with torch.no_grad():
        predictions, masks = method.predict(images)
    patches = masks[1].view(-1, 4, 4).numpy()  # the scale of the patches: nothing fractional
    assert set(np.unique(patches)) == {0, 1}
    total, parts = 0.0, []
    for prediction, cell in zip(predictions, (2, 4, 8)):
        target = hog((images - method.encoder.mean) / method.encoder.std, cell).numpy()
        side, above, below = 16 // cell, 0.0, 0.0
        for b in range(len(images)):
            for y in range(side):
                for x in range(side):
                    pixels = [patches[b, (y * cell + i) // 4, (x * cell + j) // 4] for i in range(cell) for j in range(cell)]
                    hidden = sum(pixels) / len(pixels)
                    error = np.mean((prediction[b, y * side + x].numpy() - target[b, y * side + x]) ** 2)
                    above, below = above + hidden * error, below + hidden
        parts.append(above / below)
        total += above / below
    torch.manual_seed(0)
    found = method.loss(batch, CLOCK)
    assert found.loss.item() == pytest.approx(total, rel=1e-4)
    assert [value.item() for value in found.metrics.values()] == pytest.approx(parts, rel=1e-4)
    assert list(found.metrics) == ["loss_2px", "loss_4px", "loss_8px"]
    assert set(masks[2].unique().tolist()) - {0, 1}, "some coarse cells are partly hidden"


def test_blocks_and_scales_stand_as_the_papers_do(digits):
    store = Store.open(digits)

    def taps(depth: int, **own) -> list[int]:
        config = small_config("local_mim", backbone={"depth": depth, "patch_size": 8}, methods={"local_mim": own})
        return list(build_method(config, data_facts(store), 0).taps)

    assert taps(12, scales=[4, 2, 1, 0.5]) == [2, 4, 10, 12]
    assert taps(12) == [2, 4, 10, 12]
    assert taps(12, scales=[2, 1, 0.5]) == [4, 10, 12]
    assert taps(4, scales=[2, 1, 0.5]) == [1, 3, 4]
    assert taps(4) == [1, 2, 3, 4]  # a block for each
    assert taps(2) == [1, 2]  # of the two coarsest
    assert taps(4, scales=[2, 1]) == [1, 4]  # the last block is always among them


def test_the_encoder_sees_visible_patches_alone_and_each_block_has_its_norm(digits):
    method, batch, _ = ready(digits, blocks=[1, 2, 3])
    left, entered = {}, {}
    for k, block in enumerate(method.encoder.blocks):
        block.register_forward_hook(lambda module, inputs, output, k=k: left.__setitem__(k, output))
    for k, decoder in enumerate(method.decoders):
        decoder.register_forward_hook(lambda module, inputs, output, k=k: entered.__setitem__(k, inputs[0]))
    for k, norm in enumerate(method.norms):
        torch.nn.init.constant_(norm.weight, 2 + k)
    method.loss(batch, CLOCK)
    for k, norm in enumerate([*method.norms, method.encoder.norm]):
        assert left[k].shape[1] == 1 + 4
        assert torch.equal(entered[k], norm(left[k]))
    assert len({id(norm) for norm in [*method.norms, method.encoder.norm]}) == 3


def test_hidden_pixels_reach_no_prediction(digits):
    method, _, images = ready(digits)
    with torch.no_grad():
        torch.manual_seed(0)
        before, masks = method.predict(images)
        pixels = masks[1].view(-1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
        scribbled = images + pixels * torch.rand_like(images)
        torch.manual_seed(0)
        after, _ = method.predict(scribbled)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_scales_loss_trains_the_blocks_up_to_its_own(digits):
    method, _, images = ready(digits, blocks=[1, 2, 3])
    torch.manual_seed(0)
    predictions, masks = method.predict(images)
    targets = method.targets(images)
    for k in range(3):
        method.zero_grad()
        ((predictions[k] - targets[k]).square().mean(2) * masks[k]).sum().backward(retain_graph=True)
        trained = [block.attn.qkv.weight.grad is not None for block in method.encoder.blocks]
        assert trained == [j <= k for j in range(3)]


def test_pixels_of_a_cell_are_normalized_within_it(digits):
    method, batch, images = ready(digits, target="pixels")
    normal = (images - method.encoder.mean) / method.encoder.std
    for target, cell in zip(method.targets(images), (2, 4, 8)):
        torch.testing.assert_close(target, normalize_patches(patchify(normal, cell)))
    assert method.loss(batch, CLOCK).loss.isfinite()
    shown = method.eval().pictures(batch)["reconstructions"].unflatten(0, (-1, 3))
    assert torch.equal(shown[:, 2], images[:8])


def test_pictures_of_histograms_keep_what_is_visible(digits):
    method, batch, _ = ready(digits)
    shown = method.eval().pictures(batch)["histograms"]
    masked, filled, truth = shown.unflatten(0, (-1, 3)).unbind(1)
    assert shown.shape == (24, 1, 64, 64)
    assert shown.min() >= 0
    assert shown.max() <= 1
    kept = masked > 0
    torch.testing.assert_close(filled[kept], truth[kept])
    assert (truth > 0).sum() > kept.sum()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scales": [1, 2]}, r"scales=\[1.0, 2.0\]: falling numbers of 4.0, 2.0, 1.0, 0.5 are allowed"),
        ({"scales": [3]}, r"scales=\[3.0\]: falling numbers"),
        ({"scales": []}, r"scales=\[\]: falling numbers"),
        ({"scales": [4, 1]}, r"patch_size=4: cells of 1 px; allowed are whole ones of 2 px or more"),
        ({"scales": [2, 1, 0.5], "blocks": [1, 2]}, r"blocks=\[1, 2\]: one for each of the 3 scales is allowed"),
        ({"blocks": [1, 2, 4]}, r"methods.local_mim.blocks=\[1, 2, 4\]: allowed are rising numbers from 1 to backbone.depth=3"),
        ({"target": "pixels", "bins": 18}, r"bins=18 is read by target=hog; with target=pixels it would be ignored"),
        ({"decoder_dim": 8, "decoder_heads": 16}, r"decoder_heads=16 is to divide decoder_dim=8"),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        small_config("local_mim", backbone={"depth": 3}, methods={"local_mim": changes})


@pytest.mark.parametrize("name", ["mae", "deep_mim", "local_mim"])
def test_a_single_patch_is_refused(digits, name):
    with pytest.raises(InputError, match=r"backbone.patch_size=16 makes one patch of views of 16 px: nothing is left to hide"):
        small_loop(small_config(name, backbone={"patch_size": 16}), digits)


def test_half_the_scale_of_an_odd_grid_is_refused(digits):
    with pytest.raises(InputError, match=r"0.5 needs an even number of patches a side, here are 5"):
        ready(digits, scales=[2, 1, 0.5], views={"size": 20})


@pytest.mark.parametrize(
    ("patch", "grid", "depth", "scales"),
    [(4, 8, 4, (2, 1, 0.5)), (4, 7, 4, (2, 1)), (8, 12, 4, (4, 2, 1, 0.5)), (16, 14, 12, (4, 2, 1, 0.5)), (5, 12, 4, (1, 0.5))],
)
def test_scales_are_those_that_fit(patch, grid, depth, scales):
    assert LocalMIM.Config().scales_of(patch, grid, depth) == scales


def test_more_scales_than_blocks_are_refused():
    with pytest.raises(InputError, match=r"need a block each, backbone.depth=2: up to 2 scales are allowed"):
        small_config("local_mim", methods={"local_mim": {"scales": [2, 1, 0.5]}})
    with pytest.raises(InputError, match=r"with backbone.patch_size=5: cells of 2.5 px; allowed are whole ones"):
        small_config("local_mim", backbone={"patch_size": 5}, methods={"local_mim": {"scales": [2, 1]}})


def test_pictures_of_coarse_cells_blend_nothing(digits):
    method, batch, images = ready(digits, scales=[0.5])
    method.decoders[0].head.weight.data.zero_()
    method.decoders[0].head.bias.data.fill_(1.0)
    torch.manual_seed(0)
    _, [mask] = method.predict(images[:8])
    assert ((mask > 0) & (mask < 1)).any()
    torch.manual_seed(0)
    shown = method.eval().pictures(batch)["histograms"].unflatten(0, (-1, 3))[:, 1].unflatten(2, (2, 8)).unflatten(4, (2, 8))
    ones = glyphs(torch.ones(8, 4, 9), 2, 8).unflatten(2, (2, 8)).unflatten(4, (2, 8))
    cells, expected = (x.permute(0, 2, 4, 1, 3, 5).reshape(8, 4, -1) for x in (shown, ones))
    hidden = mask > 0
    torch.testing.assert_close(cells[hidden], expected[hidden])
