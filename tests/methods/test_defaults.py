"""Every method as it stands, at the sizes of images that there are: it can be built, or says in one line why not."""

from __future__ import annotations

import pytest
import torch

from small_runs import method_names
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS, all_methods, donors
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.training.model import build_method

REFUSED: dict[tuple[str, int], str] = {}  # (method, px) -> words of the line
SLOW = (
    "beit",
    "simmim",
    "deepcluster_v2",
    "swav",
    "dino",
    "ibot",
    "cmc",
    "pic",
    "instdisc",
    "vq_vae",
)  # weights drawn one by one, or many


def tree(name: str, size: int) -> dict:
    cls = method_class(name)
    given = {key: "given" for key in cls.upstream if key not in getattr(cls, "trained_first", {})}
    data = {"reader": "parquet", "root": "data", "size": size, "fields": "saliency"}
    return {"method": name, "dataset": data, "pretrain": {"images_seen": 64, "upstream": given}}


@pytest.mark.parametrize("size", [28, 32, 96, 224])
def test_defaults_can_be_built_or_are_refused_in_one_line(size, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda tensor, **_: tensor)  # slow, and not what is tested
    wrong = {}
    for name in method_names():
        try:
            run = Parameters.of(tree(name, size)).run
            if size < 224 or name not in SLOW:
                facts = {
                    "channels": 3,
                    "size": size,
                    "mean": [0.5] * 3,
                    "std": [0.2] * 3,
                    "num_samples": 5000,
                    "fields": ["saliency"],
                }
                build_method(run, facts, 0)
        except InputError as error:
            if REFUSED.get((name, size), "\n") not in str(error):
                wrong[name] = str(error)
    assert not wrong


@pytest.mark.parametrize("budget", ["cpu", "gpu"])
def test_boards_resolve(budget):
    for name in all_methods():
        run = Parameters.of(BUDGETS[budget].tree(name, "data", dict.fromkeys(donors(name), "given"))).run
        own = method_class(name).recipe.backbone
        assert run.backbone.output_stride == own.output_stride, name
        assert run.backbone.positions == own.positions, name
