"""Optimizers and their schedules: every learning rate and weight decay is a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ssl_pipelines.methods.base import Method, ParamGroup
from ssl_pipelines.methods.config import OptimizerConfig
from ssl_pipelines.networks.norm import Affine

__all__ = [
    "OptimizerConfig",
    "build_optimizer",
    "build_optimizers",
    "clip_gradients",
    "learning_rate_at",
    "set_schedules",
    "trained",
    "weight_decay_at",
]


def learning_rate_at(config: OptimizerConfig, batch_size: int, step: int, total_steps: int) -> float:
    """Linear warm-up from lr / warm-up steps, then half a cosine (Loshchilov & Hutter 2017, eq. 5) down to `final_lr_fraction` of the peak."""
    peak = config.lr * (batch_size / config.lr_batch if config.lr_batch else 1.0)
    warmup = round(config.warmup_fraction * total_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if config.schedule == "constant":
        return peak
    return peak * (config.final_lr_fraction + (1 - config.final_lr_fraction) * _half_cosine(step - warmup, total_steps - warmup))


def weight_decay_at(config: OptimizerConfig, step: int, total_steps: int) -> float:
    if config.weight_decay_end is None:
        return config.weight_decay
    return config.weight_decay_end + (config.weight_decay - config.weight_decay_end) * _half_cosine(step, total_steps)


def _half_cosine(step: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))


def build_optimizer(groups: Iterable[ParamGroup], config: OptimizerConfig) -> Optimizer:
    """One optimizer over groups of modules; biases, norms and other vectors are in groups without weight decay."""
    rows = []
    for group in groups:
        own = group.config or config
        assert own.name == config.name, "an optimizer is of one kind; name another one in ParamGroup.optimizer"
        # Plain values, so that a checkpoint can hold them.
        marks = {
            "schedule": group.schedule,
            "lr_factor": group.lr_factor,
            "own": own.model_dump(mode="json") if group.config else None,
        }
        vectors = _vectors(group.module)
        for decays in (True, False):
            params = [p for p in group.module.parameters() if p.requires_grad and (id(p) not in vectors) == decays]
            if params:
                rows.append({"params": params, "lr": own.lr, "weight_decay": 0.0, "decays": decays} | _options(own) | marks)
    if config.name == "sgd":
        return torch.optim.SGD(rows, lr=config.lr, fused=True)
    if config.name == "adamw":
        return torch.optim.AdamW(rows, lr=config.lr, fused=True)
    from timm.optim import Lars

    return Lars(rows, lr=config.lr, always_adapt=False)


def _options(config: OptimizerConfig) -> dict[str, Any]:
    if config.name == "adamw":
        return {"betas": config.betas}
    return {"momentum": config.momentum} | (
        {"nesterov": config.nesterov} if config.name == "sgd" else {"trust_coeff": config.trust}
    )


def _vectors(module: nn.Module) -> set[int]:
    """Ids of the parameters that do not decay: vectors, and those of another shape that are biases beside weights, or act as a norm's.

    The biases of relative positions do decay: they are a table of weights, and no layer's bias."""
    return {
        id(p)
        for part in module.modules()
        for name, p in part.named_parameters(recurse=False)
        if p.ndim <= 1 or isinstance(part, Affine) or (name == "bias" and hasattr(part, "weight"))
    }


class Some(nn.Module):
    """A module whose parameters are a selection of another module's, since a ParamGroup holds a module."""

    def __init__(self, whole: nn.Module, params: Iterable[nn.Parameter]):
        super().__init__()
        self.whole, self.ids = whole, {id(p) for p in params}

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return (p for p in super().parameters(recurse) if id(p) in self.ids)


def build_optimizers(method: Method, config: OptimizerConfig) -> dict[str, tuple[Optimizer, OptimizerConfig]]:
    """name -> (optimizer, its config). "main" has every trainable parameter that no exception names."""
    exceptions = method.param_groups()
    named = {id(p) for group in exceptions for p in group.module.parameters()}
    rest = ParamGroup(Some(method, (p for p in method.parameters() if id(p) not in named)))
    optimizers = {}
    for name in dict.fromkeys(["main", *(group.optimizer for group in exceptions)]):
        groups = [group for group in [rest, *exceptions] if group.optimizer == name]
        own = next((group.config for group in groups if group.config is not None and name != "main"), None) or config
        optimizers[name] = (build_optimizer(groups, own), own)
    return optimizers


def set_schedules(optimizer: Optimizer, config: OptimizerConfig, batch_size: int, step: int, total_steps: int) -> float:
    """Sets every group's learning rate and weight decay for `step`; returns the learning rate of the run's own config."""
    for group in optimizer.param_groups:
        own = OptimizerConfig(**group["own"]) if group["own"] else config
        if group["schedule"] == "constant":
            own = own.model_copy(update={"schedule": "constant", "warmup_fraction": 0.0})
        group["lr"] = group["lr_factor"] * learning_rate_at(own, batch_size, step, total_steps)
        group["weight_decay"] = weight_decay_at(own, step, total_steps) if group["decays"] else 0.0
    return learning_rate_at(config, batch_size, step, total_steps)


def trained(optimizer: Optimizer) -> list[nn.Parameter]:
    """The parameters that the optimizer steps, group by group."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def clip_gradients(optimizer: Optimizer, config: OptimizerConfig) -> None:
    """Scales gradients down to norm `clip`, of all parameters together or of each tensor (DINO)."""
    if config.clip is None:
        return
    params = [p for p in trained(optimizer) if p.grad is not None]
    for part in [params] if config.clip_per == "all" else [[p] for p in params]:
        torch.nn.utils.clip_grad_norm_(part, config.clip)
