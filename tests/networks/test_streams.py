"""Under autocast blocks compute in half precision, and what they add to stays in full: its rounding would add up over the depth."""

import pytest
import torch

from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.conv_vit import ConvViT
from ssl_pipelines.networks.decoder import TokenDecoder
from ssl_pipelines.networks.vit import ViT


@pytest.mark.parametrize("positions", ["sincos", "relative"])
def test_tokens_of_a_vit_stay_in_full_precision(positions):
    encoder = build_encoder(BackboneConfig(name="vit_mini", depth=2, positions=positions), 3, 16)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = encoder.encode_tokens(encoder.embed(torch.rand(2, 3, 16, 16)))
    assert {x.dtype for x in outputs} == {torch.float32}


def test_tokens_behind_convolutions_too():
    encoder = ConvViT(ViT(3, 48, 2, 3, 4), (2, 2, 1), 1, 3)
    with torch.autocast("cpu", torch.bfloat16):
        _, _, tokens = encoder.maps(torch.rand(2, 3, 16, 16))
        assert {x.dtype for x in (tokens, *encoder.transform(tokens))} == {torch.float32}


def test_what_enters_a_decoder_s_last_norm_is_full_too():
    decoder, seen = TokenDecoder(24, 16, 1, 2, 48), []
    decoder.norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        decoder(torch.rand(2, 3, 24), torch.arange(4).expand(2, -1), (2, 2))
    assert seen == [torch.float32]
