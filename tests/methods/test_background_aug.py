"""Background augmentation: MoCo v2 and one more negative, and MoCo v2 to the bit where nothing is changed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from small_runs import small_config, small_loop
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts

CLOCK = Clock(0, 8, 0)
NONE = {"removed": 0.0, "random": 0.0, "swapped": 0.0}


def loop_of(store, name: str = "background_aug", **backgrounds):
    config = small_config(name, methods={name: {"groups": 2, "views": {"backgrounds": backgrounds} if backgrounds else {}}})
    return small_loop(config, store)


def test_without_any_chance_it_is_moco_v2_to_the_bit(digits):
    ours, theirs = loop_of(digits, **NONE), small_loop(small_config("moco_v2", methods={"moco_v2": {"groups": 2}}), digits)
    theirs.method.load_state_dict(ours.method.state_dict())
    for step in range(3):
        assert torch.equal(ours.run_step(step).loss, theirs.run_step(step).loss)
    for key, value in theirs.method.state_dict().items():
        assert torch.equal(ours.method.state_dict()[key], value), key


def test_a_swap_adds_one_logit_to_the_queries_that_have_it(digits):
    loop = loop_of(digits, swapped=0.7, random=0.5, removed=0.0)
    method, [batch] = loop.method.eval(), loop.feed.batches(0, 8)
    [counts] = batch.targets["swapped_counts"]
    assert 0 < counts.sum() < len(counts)
    with torch.no_grad():
        q = F.normalize(method.projector(method.encoder(batch.views["global"][0])), dim=1).double()
        k, hard = (
            F.normalize(method.key_projector(method.key_encoder(view)), dim=1).double()
            for view in (batch.views["global"][1], batch.views["swapped"][0])
        )
        total = 0.0
        for b in range(len(q)):
            logits = [float(q[b] @ k[b]), *(float(q[b] @ key) for key in method.queue.keys.double())]
            logits += [float(q[b] @ hard[b])] if counts[b] else []
            row = torch.tensor(logits, dtype=torch.float64) / method.config.temperature
            total += float(row.logsumexp(0) - row[0])
        assert method.loss(batch, CLOCK).loss.item() == pytest.approx(total / len(q), rel=1e-5)


def test_only_the_keys_of_views_enter_the_queue(digits):
    loop = loop_of(digits, swapped=1.0)
    output = loop.method.loss(loop.feed.batches(0, 8)[0], CLOCK)
    assert set(output.memory) == {"k2"}
    assert output.memory["k2"].shape[0] == 16


@pytest.mark.parametrize("name", ["byol", "swav"])
def test_backgrounds_are_for_any_method_and_swaps_are_not(digits, name):
    changes = {name: {"views": {"backgrounds": {"removed": 0.5, "random": 0.5}}}}
    loop = small_loop(small_config(name, methods=changes), digits)
    plain = small_loop(small_config(name), digits)
    ours, theirs = (next(iter(one.feed.batches(0, 8)[0].views.values())) for one in (loop, plain))
    assert not torch.equal(ours, theirs)
    assert loop.run_step(0).loss.isfinite()
    with pytest.raises(InputError, match="a swap is a negative, which background_aug has"):
        small_config(name, methods={name: {"views": {"backgrounds": {"swapped": 0.5}}}})


def test_crops_and_colors_stay_those_of_the_method_without(digits):
    ours, theirs = loop_of(digits).feed.batches(3, 8)[0], loop_of(digits, **NONE).feed.batches(3, 8)[0]
    assert torch.equal(ours.targets["global_box"], theirs.targets["global_box"])


def test_a_store_without_masks_is_refused_in_one_line(digits):
    facts = data_facts(Store.open(digits)) | {"fields": []}
    with pytest.raises(InputError, match=r"needs what the store has not: set dataset\.fields=\[saliency\]"):
        build_method(small_config("background_aug"), facts, 0)
