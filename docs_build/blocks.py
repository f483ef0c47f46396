"""The keys of every block of conf/base/parameters.yml, from the typed configurations behind them."""

from __future__ import annotations

import inspect

from docs_build.markup import cell, plain, table
from docs_build.options import options
from ssl_pipelines.methods.config import OptimizerConfig
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.training.config import PretrainConfig


def blocks() -> str:
    models = {
        "backbone": BackboneConfig,
        "pretrain": PretrainConfig,
        "pretrain.optimizer": OptimizerConfig,
    } | project_stages().blocks
    parts = []
    for name, model in models.items():
        told = [
            (f"`{option.key}`", f"`{option.default}`", cell(plain(option.allowed)), cell(plain(option.meaning)))
            for option in options(model)
        ]
        words = plain(inspect.cleandoc(vars(model).get("__doc__") or ""))  # its own, not those of its base
        parts.append(f"## {name}\n\n{words}\n\n" + table(("key", "default", "allowed", "meaning"), told))
    return "\n\n".join(parts)
