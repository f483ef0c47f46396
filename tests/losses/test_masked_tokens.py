"""Cross entropy over the hidden patches of all ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import on_ranks
from ssl_pipelines.losses.masked_tokens import masked_token_loss, mean_count


def test_it_is_the_mean_over_the_hidden_patches_of_the_batch():
    random = np.random.default_rng(0)
    logits, tokens, mask = random.normal(size=(3, 4, 5)), random.integers(0, 5, (3, 4)), random.uniform(size=(3, 4)) < 0.5
    costs = [np.log(np.exp(logits[b, t]).sum()) - logits[b, t, tokens[b, t]] for b in range(3) for t in range(4) if mask[b, t]]
    assert len({mask[b].sum() for b in range(3)}) > 1, "images hide different numbers of patches"
    rows = torch.tensor(mask)
    found = masked_token_loss(torch.tensor(logits)[rows], torch.tensor(tokens)[rows], mean_count(rows))
    assert found.item() == pytest.approx(np.mean(costs), rel=1e-10)


def one_rank(whole: list) -> dict[str, torch.Tensor]:
    from ssl_pipelines.distributed import all_reduce_mean, local_rows

    logits, tokens, mask = (torch.tensor(value)[local_rows(4)] for value in whole)
    return {"loss": all_reduce_mean(masked_token_loss(logits[mask], tokens[mask], mean_count(mask)))}


def test_ranks_that_hide_different_numbers_give_the_mean_over_all(tmp_path):
    random = np.random.default_rng(1)
    mask = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    whole = [random.normal(size=(4, 3, 5)).tolist(), random.integers(0, 5, (4, 3)).tolist(), mask.tolist()]
    alone = one_rank(whole)["loss"]
    for rank in on_ranks(one_rank, tmp_path, whole):
        torch.testing.assert_close(rank["loss"], alone)
