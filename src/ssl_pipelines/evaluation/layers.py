"""Which layers of a network fine-tuning trains, and how fast: frozen stages, and learning rates that decay towards the input.

Layer-wise decay: Clark et al. 2020, arXiv:2003.10555; Bao et al. 2022 (BEiT), arXiv:2106.08254, whose layers these are: 0 the stem,
1 to L the stages or blocks, L + 1 the head and the last norm; the rate of layer l is that of the head times decay^(L + 1 - l)."""

from __future__ import annotations

from torch import nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.evaluation.config import FinetuneRecipe
from ssl_pipelines.methods.base import ParamGroup
from ssl_pipelines.methods.classifier import Classifier
from ssl_pipelines.networks.depths import depths
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.training.optim import Some


def layers_of(network: Classifier) -> tuple[dict[str, int], int]:
    """parameter that the head reaches -> its layer, and L; L = 0 where the encoder is not cut into stages."""
    depth: dict[int, int] = {}
    for module in network.method.modules():  # an encoder nested in another comes later, and its own depths hold
        if isinstance(module, Encoder):
            params = dict(module.named_parameters())
            depth |= {id(params[name]): k for name, k in depths(module).items()}
    reached = {name: p for name, p in network.named_parameters() if p.requires_grad}
    stages = max((depth.get(id(p), 0) for p in reached.values()), default=0)
    return {name: depth.get(id(p), stages + 1) for name, p in reached.items()}, stages


def freeze(network: Classifier, recipe: FinetuneRecipe) -> None:
    """Takes the gradients from what `recipe.trainable` leaves out. Raises InputError where the encoder has no such stages."""
    if recipe.trainable == "head":
        network.method.requires_grad_(False)
    if isinstance(recipe.trainable, str):
        return
    layers, stages = layers_of(network)
    if recipe.trainable > stages:
        there = f"1 to {stages}" if stages else "no number, since this encoder is not cut into stages"
        raise InputError(f"finetune.trainable={recipe.trainable} is refused: allowed are all, head, {there}")
    for name, param in network.named_parameters():
        param.requires_grad_(layers.get(name, 0) > stages - recipe.trainable)


def to_training_mode(network: Classifier) -> None:
    """Training mode, but for what is frozen: its norms keep their statistics, and it drops nothing."""
    network.train()
    for module in network.modules():
        params = list(module.parameters())
        if params and not any(p.requires_grad for p in params):
            module.eval()


def groups(network: Classifier, layer_decay: float) -> list[ParamGroup]:
    """The network's trainable parameters, a group a layer, each with its share of the learning rate.

    Raises InputError where a decay is asked of an encoder that is not cut into stages."""
    if layer_decay == 1:
        return [ParamGroup(network)]
    layers, stages = layers_of(network)
    if not stages and any(p.requires_grad for p in network.method.parameters()):
        raise InputError(f"finetune.layer_decay={layer_decay:g} is refused: this encoder is not cut into stages; allowed is 1")
    params: dict[int, list[nn.Parameter]] = {}
    for name, p in network.named_parameters():
        if p.requires_grad:
            params.setdefault(layers[name], []).append(p)
    return [ParamGroup(Some(network, params[k]), lr_factor=layer_decay ** (stages + 1 - k)) for k in sorted(params)]
