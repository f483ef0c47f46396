"""Gaussian rows of one draw for all ranks."""

from __future__ import annotations

import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import world_size
from ssl_pipelines.distributed.normal import randn_rows


def drawn() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {"rows": randn_rows(8 // world_size(), 3)}


def test_ranks_draw_what_one_process_would(tmp_path):
    alone = drawn()["rows"]
    first, second = on_ranks(drawn, tmp_path / "ranks")
    assert torch.equal(torch.cat([first["rows"], second["rows"]]), alone)


def test_they_are_standard_normal():
    torch.manual_seed(0)
    rows = randn_rows(1000, 20)
    assert abs(rows.mean().item()) < 0.02
    assert abs(rows.std().item() - 1) < 0.02
