"""The example of the page on adding a method is a method: it trains, and learns what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from small_runs import small_config, small_loop
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig
from ssl_pipelines.methods.registry import TABLE, Entry
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-method.md"
NAMES = (Batch, Clock, F, Literal, Method, MethodConfig, Output, Parts, ViewPlan, ViewRecipe, nn, one_view, torch)


def test_the_example_trains(photos, monkeypatch):
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = ModuleType("ssl_pipelines.methods.pretext.upside_down")
    names = {name: value for name, value in globals().items() if any(value is one for one in NAMES)}
    module.__dict__.update(names)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)
    monkeypatch.setitem(TABLE, "upside_down", Entry("pretext.upside_down", "UpsideDown", "This page, 2026"))
    pretrain = {"images_seen": 64 * 80, "batch_size": 64, "optimizer": {"name": "adamw", "lr": 0.001, "lr_batch": None}}
    loop = small_loop(small_config("upside_down", pretrain=pretrain), photos)
    losses = [float(loop.run_step(step).loss) for step in range(80)]
    assert np.mean(losses[-10:]) < 0.75 * np.log(2), "far better than a coin"
