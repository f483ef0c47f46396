"""The export tool as the user meets it: from a model to a folder whose card can be followed line by line."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_pipelines.artifacts import InputError, read_json
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.export import formats
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.training.model import load_method
from ssl_pipelines.views.plain import plain_view
from tests.stage_calls import call

from .test_promotion import model_of, promote
from .test_promotion import parameters as promoting


def parameters(**blocks) -> Parameters:
    return Parameters.of({"pretrain": {"images_seen": 128}, **blocks})


@pytest.fixture
def without_onnx(monkeypatch):
    """Seconds saved, and what is seen where a network has no graph."""

    def refuse(*arguments):
        raise formats.NoGraph("ValueError: not today")

    monkeypatch.setattr(formats, "write_onnx", refuse)


def test_the_card_of_the_champion_can_be_followed(home, digits, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    candidate = model_of(home / "model", digits, 1, 300, backbone={"name": "resnet18", "width": 1.0})
    promote(candidate, promoting())
    call("export", parameters(export={"model": "@champion", "folder": "out"}))
    out = home / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "config.json", "encoder.onnx", "encoder.safetensors", "export.json", "timm.safetensors",
    ]  # fmt: skip
    card = (out / "README.md").read_text()
    store = Store.open(digits)
    for part in (store.sha256, "simclr", "arXiv:2002.05709", "128 (", "license: yours to choose"):
        assert part in card, part
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(blocks) == 3
    assert all(len([line for line in block.splitlines() if line.strip() and not line.startswith("#")]) <= 8 for block in blocks)
    pixels, method = store.gather(store.ids("test")[:5]).fields["image"], load_method(candidate.model)
    images = plain_view(torch.from_numpy(pixels), method.image_size)
    with torch.no_grad():
        expected = method.encode(images).numpy()
    here = Path.cwd()
    try:
        os.chdir(out)
        for block in blocks:
            scope: dict = {}
            # The card's images are chance; these are real, and the same for all.
            torch_rand, numpy_rand = torch.rand, np.random.rand
            torch.rand, np.random.rand = (lambda *shape: images), (lambda *shape: images.numpy())  # type: ignore[assignment]
            try:
                exec(block, scope)
            finally:
                torch.rand, np.random.rand = torch_rand, numpy_rand  # type: ignore[assignment]
            np.testing.assert_allclose(scope["embeddings"], expected, atol=1e-4)
    finally:
        os.chdir(here)
    note = read_json(out / "export.json")
    assert note["fingerprint"] == candidate.facts["fingerprint"]
    assert max(max(values.values()) for values in note["largest_difference"].values()) <= 1e-4


def test_a_folder_a_layer_and_why_there_is_no_file(home, digits, caplog, without_onnx):
    model_of(home / "model", digits, 1, 300)
    call("export", parameters(export={"model": "model", "folder": "out", "eval_layer": "final"}))
    assert "export: no encoder.onnx: torch or onnxruntime cannot express this network (ValueError: not today)" in caplog.text
    assert "export: no timm.safetensors: timm has no twin of resnet_small" in caplog.text
    card = (home / "out/README.md").read_text()
    assert "no evaluation of these weights was found" in card
    assert "```python\n# ONNX" not in card


def test_what_is_not_there_or_would_be_lost_is_refused(home, digits, without_onnx):
    model_of(home / "model", digits, 1, 300)
    for block, words in (
        ({}, "export.model is not given and data/06_models holds no finished model"),
        ({"model": "nowhere"}, "export.model='nowhere' is no model folder"),
        ({"model": "@champion"}, "export.model='@champion': sqlite:"),
        ({"model": "model", "folder": "model"}, "export.folder='model' holds something that is no export"),
        ({"model": "model", "eval_layer": "layer9"}, "export.eval_layer='layer9' is unknown"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            call("export", parameters(export=block))
    assert (home / "model/config.json").is_file()
    assert not list((home / "data").glob("09_export*")), "whole or not at all"
    # An export takes the place of an export.
    for _ in range(2):
        call("export", parameters(export={"model": "model", "folder": "out"}))
    (home / "out/my_notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds something that is no export \(my_notes.md\)"):
        call("export", parameters(export={"model": "model", "folder": "out"}))
    assert (home / "out/my_notes.md").read_text() == "mine"
    shutil.rmtree(home / "out")
