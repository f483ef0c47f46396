"""The learnt vector that an encoder of patches sees where patches are hidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import Format, PatchEmbed
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.timm_encoder import TimmEncoder
from ssl_pipelines.networks.vit import ViT

ALLOWED = "one of our ViTs, or timm's ViT, Swin or Swin v2 with patches that divide the image"


class MaskToken(nn.Module):
    """`with token.over(encoder, hidden):` the embeddings of hidden patches, (B, T) with 1 where hidden, are this vector.

    Before positions and blocks: no hidden pixel reaches them, for the encoder's patches do not overlap. `patch_size` in px.
    Raises InputError for an encoder without such patches."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        embedding = embedding_of(encoder)
        if isinstance(embedding, nn.Linear):
            self.patch_size, dim = int(encoder.patch_size), embedding.out_features  # type: ignore[arg-type]
        else:
            self.patch_size, dim = int(embedding.patch_size[0]), embedding.proj.out_channels
        self.vector = nn.Parameter(torch.zeros(dim))  # one axis: no weight decay
        nn.init.trunc_normal_(self.vector, std=0.02)

    @contextmanager
    def over(self, encoder: Encoder, hidden: Tensor) -> Iterator[None]:
        def hide(module: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:  # (B, T, D) or (B, h, w, D)
            return torch.where(hidden.view(*tokens.shape[:-1], 1) > 0, self.vector.to(tokens.dtype), tokens)

        hook = embedding_of(encoder).register_forward_hook(hide)
        try:
            yield
        finally:
            hook.remove()


def embedding_of(encoder: Encoder) -> Any:
    """The layer from patches to tokens, channels last."""
    if isinstance(encoder, ViT):
        return encoder.patch_embed
    if isinstance(encoder, TimmEncoder):
        layer = getattr(encoder.model, "patch_embed", None)
        if isinstance(layer, PatchEmbed) and (layer.flatten or layer.output_fmt == Format.NHWC) and not layer.dynamic_img_pad:
            return layer
        raise InputError(f"backbone.name={encoder.name!r} has no patches that could be hidden; allowed: {ALLOWED}")
    raise InputError(f"an encoder of kind {type(encoder).__name__} has no patches that could be hidden; allowed: {ALLOWED}")
