"""From the `backbone` block to an encoder."""

from __future__ import annotations

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.networks.config import RESNETS, SMALL_STEM_UP_TO, UNPADDED, VITS, BackboneConfig
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.own import OWN


def check_backbone(config: BackboneConfig, image_size: int | None = None) -> None:
    """Raises InputError for a name that neither we nor timm know, and for a patch size that does not divide the image."""
    if config.name in VITS:
        if image_size and image_size % config.patch_size:
            raise InputError(f"backbone.patch_size={config.patch_size} does not divide the view size {image_size}")
    elif config.name not in (*RESNETS, *UNPADDED, OWN):
        import timm

        if not timm.is_model(config.name):
            raise unknown("backbone.name", config.name, [*RESNETS, *VITS, *UNPADDED, "any name of timm.list_models()"])


def build_encoder(config: BackboneConfig, in_channels: int, image_size: int, width: float = 1.0) -> Encoder:
    """A fresh encoder for images of `image_size` px with `in_channels` channels. `width` multiplies the config's own."""
    check_backbone(config, image_size)
    if config.name == OWN:
        from ssl_pipelines.networks.identity import Identity

        return Identity(in_channels)
    if config.name in RESNETS:
        from ssl_pipelines.networks.resnet import ResNet

        small = image_size <= SMALL_STEM_UP_TO if config.stem == "auto" else config.stem == "small"
        wide, norm, coarsest = config.width * width, config.norm, config.output_stride
        return ResNet(config.name, in_channels, small_stem=small, width=wide, norm=norm, output_stride=coarsest)
    if config.name in VITS:
        from ssl_pipelines.networks.relative import RelativeViT
        from ssl_pipelines.networks.vit import ViT

        dim, depth, heads = VITS[config.name]
        dim = round(dim * width / (4 * heads)) * 4 * heads
        sizes = (in_channels, dim, config.depth or depth, heads, config.patch_size)
        if config.positions == "relative":
            return RelativeViT(*sizes, grid=image_size // config.patch_size, drop_path=config.drop_path)
        return ViT(*sizes, drop_path=config.drop_path)
    if config.name in UNPADDED:
        from ssl_pipelines.networks.unpadded import UnpaddedNet

        base, top, depth = UNPADDED[config.name]
        wider = config.width * width
        return UnpaddedNet(in_channels, max(8, round(base * wider)), max(8, round(top * wider)), depth, image_size)
    if width != 1:
        raise InputError(
            f"backbone.name={config.name!r} has one width, and the method needs an encoder of {width:g} times that. "
            f"Allowed: {', '.join((*RESNETS, *VITS, *UNPADDED))}"
        )
    from ssl_pipelines.networks.timm_encoder import TimmEncoder

    return TimmEncoder(config.name, in_channels, image_size, config.drop_path)
