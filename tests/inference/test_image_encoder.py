"""One function for the embed tool and the served model: equal to the encoder itself, whatever stands beside an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig, Store, ingest
from ssl_pipelines.data.decode import DecodeSpec, Unusable, decode
from ssl_pipelines.inference.encoder import ImageEncoder
from ssl_pipelines.training.model import load_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.views import plain_view
from tests.data.image_samples import encoded, noise, png_bomb
from tests.evaluation.evaluation_samples import SIZE, make_model


def test_it_is_decode_plain_view_encode(model):
    files = [encoded(noise(i, height=30, width=17 + i)) for i in range(5)]
    pixels = np.stack([decode(file, DecodeSpec(SIZE, 3, 10**6))[0] for file in files])
    method = load_method(model)
    with torch.no_grad():
        expected = method.encode(plain_view(torch.from_numpy(pixels), method.image_size)).numpy()
    found = ImageEncoder(model).embed_contents(files)
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    assert found.errors == [None] * 5
    assert found.vectors.dtype == np.float32


def test_what_is_beside_an_image_changes_nothing(model):
    encoder, files = ImageEncoder(model), [encoded(noise(i)) for i in range(9)]
    alone = np.concatenate([encoder.embed_contents([file]).vectors for file in files])
    np.testing.assert_allclose(encoder.embed_contents(files).vectors, alone, atol=1e-5)


BAD = {
    "empty": (b"", "empty file"),
    "text": (b"no image", "not in an image format"),
    "none": (None, "no bytes"),
    "nan": (float("nan"), "no bytes"),
    "str": ("path.png", "found str"),
    "int": (5, "found int"),
    "bomb": (png_bomb(), "max_megapixels"),
    "said": (Unusable("because"), "because"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_an_error_of_that_row_alone(model, name):
    content, reason = BAD[name]
    found = ImageEncoder(model).embed_contents([encoded(noise(1)), content, encoded(noise(2))])
    assert len(found.vectors) == 2
    assert found.errors[0] is None is found.errors[2]
    assert reason in found.errors[1]


def test_new_images_are_decoded_as_the_stored_ones_were(tmp_path):
    """Everything that was settled for the data set travels with the model: stored side, fit, white, alpha."""
    bands = np.stack([noise(i, 8, 40, channels=4) for i in range(6)])
    for i, one in enumerate(bands):
        write = tmp_path / "raw" / f"{i}.png"
        write.parent.mkdir(exist_ok=True)
        write.write_bytes(encoded(one))
    (tmp_path / "store").mkdir()
    dataset = DatasetConfig(reader="image_folder", root=str(tmp_path / "raw"), size=SIZE, fit="pad", white=4095)
    ingest(dataset, 0, tmp_path / "store", 1)
    store = Store.open(tmp_path / "store")
    assert (store.size, store.view_size, store.decoding) == (24, SIZE, {"fit": "pad", "white": 4095, "alpha": False})
    folder = make_model(tmp_path / "model", data=data_facts(store))
    found = ImageEncoder(folder)
    stored = store.gather(np.arange(6)).fields["image"]
    np.testing.assert_array_equal(found.embed_contents([encoded(one) for one in bands]).vectors, found.embed(stored))
    assert found.method.image_size == SIZE


def test_nothing_and_one_pixel(model):
    encoder = ImageEncoder(model)
    assert encoder.embed_contents([]).vectors.shape == (0, encoder.dim)
    assert np.isfinite(encoder.embed_contents([encoded(noise(0, 1, 1))]).vectors).all()


def test_a_layer_is_the_layer_of_the_encoder(tmp_path):
    folder = make_model(tmp_path / "igpt", "rotation")
    method, blank = load_method(folder), encoded(noise(3))
    names = list(method.stages(torch.zeros(1, 3, SIZE, SIZE)))
    for name in names:
        pixels = torch.from_numpy(decode(blank, DecodeSpec(SIZE, 3, 10**6))[0][None])
        with torch.no_grad():
            expected = method.stages(plain_view(pixels, method.image_size))[name].numpy()
        np.testing.assert_allclose(ImageEncoder(folder, eval_layer=name).embed_contents([blank]).vectors, expected, atol=1e-6)
    with pytest.raises(InputError, match=r"embed.eval_layer='layer9' is unknown.*final"):
        ImageEncoder(folder, eval_layer="layer9", key="embed.eval_layer")


def test_a_large_image_is_refused_by_the_limit_that_is_given(model):
    [error] = ImageEncoder(model, max_pixels=100).embed_contents([encoded(noise(0, 11, 11))]).errors
    assert "max_megapixels=0.0001" in error
