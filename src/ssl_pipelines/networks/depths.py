"""How deep in its encoder each parameter lies, for what treats shallow and deep layers differently: freezing, learning rates by layer."""

from __future__ import annotations

from torch import nn

from ssl_pipelines.networks.conv_vit import ConvViT
from ssl_pipelines.networks.dense import DenseEncoder
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.image_gpt import ImageGPT
from ssl_pipelines.networks.masked_linear import MaskedMLP
from ssl_pipelines.networks.positionless import PositionlessViT
from ssl_pipelines.networks.resnet import ResNet
from ssl_pipelines.networks.timm_encoder import TimmEncoder
from ssl_pipelines.networks.unpadded import UnpaddedNet
from ssl_pipelines.networks.vit import ViT

# The stages, or blocks, of each kind, shallow to deep; each entry of a list is one.
STAGES: dict[type[Encoder], tuple[str, ...]] = {
    ConvViT: ("local", "embed", "blocks"),
    DenseEncoder: ("layers",),
    ImageGPT: ("blocks",),
    MaskedMLP: ("hidden_layers",),
    PositionlessViT: ("blocks",),
    ResNet: ("layers",),
    UnpaddedNet: ("to_fine", "to_coarse", "to_top"),
    ViT: ("blocks",),
}
LAST_NORM = ("norm.", "norms.", "fc_norm.", "head.")


def depths(encoder: Encoder) -> dict[str, int]:
    """parameter -> 0 in the stem, 1, 2, ... in the stages, shallow to deep. The last norm belongs to the head that is to come, and
    is left out; empty where the encoder is not cut into stages."""
    found = _of_timm(encoder) if isinstance(encoder, TimmEncoder) else _of_stages(encoder)
    return {name: depth for name, depth in found.items() if not name.removeprefix("model.").startswith(LAST_NORM)}


def _of_stages(encoder: Encoder) -> dict[str, int]:
    names = next((names for kind, names in STAGES.items() if isinstance(encoder, kind)), ())
    parts = [encoder.get_submodule(name) for name in names]
    stages = [stage for part in parts for stage in (part if isinstance(part, nn.ModuleList) else [part])]
    depth = {id(p): k for k, stage in enumerate(stages, start=1) for p in stage.parameters()}
    return {name: depth.get(id(p), 0) for name, p in encoder.named_parameters()} if stages else {}


def _of_timm(encoder: TimmEncoder) -> dict[str, int]:
    from timm.models import group_parameters

    model = encoder.model
    if not hasattr(model, "group_matcher"):
        return {}
    found: dict[str, int] = group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    return {f"model.{name}": depth for name, depth in found.items()}
