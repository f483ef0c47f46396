"""Fully connected encoder and decoder against NumPy."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.networks.dense import DenseDecoder, DenseEncoder


def test_encoder_is_linear_layers_with_relus_between():
    encoder = DenseEncoder(3, 4, [7, 5, 2]).double()
    encoder.set_statistics([0.1, 0.5, 0.9], [0.2, 0.3, 0.4])
    images = torch.rand(6, 3, 4, 4, dtype=torch.float64)
    x = (
        ((images - torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1))
        .numpy()
        .reshape(6, -1)
    )
    for k, layer in enumerate(encoder.layers):
        x = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        x = x if k == 2 else np.maximum(x, 0)
    np.testing.assert_allclose(encoder(images).detach().numpy(), x, rtol=1e-6)
    stages = encoder.stages(images)
    assert {name: tuple(z.shape) for name, z in stages.items()} == {"hidden1": (6, 7), "hidden2": (6, 5), "code": (6, 2)}
    assert encoder.map(images).shape == (6, 2, 1, 1)
    assert encoder.dim == 2


def test_decoder_mirrors_it():
    decoder = DenseDecoder([2, 5, 7], 4, 3)
    assert [tuple(p.shape) for p in decoder.parameters() if p.ndim == 2] == [(5, 2), (7, 5), (48, 7)]
    assert decoder(torch.randn(6, 2)).shape == (6, 3, 4, 4)
    assert DenseDecoder([2], 4, 1)(torch.randn(6, 2)).min() < 0, "the output is linear"
