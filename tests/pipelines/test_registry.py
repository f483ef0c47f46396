"""promote, export, rollback and models as commands, and a champion to start from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnxruntime
import torch
from click.testing import CliRunner

from ssl_pipelines.data import Store
from ssl_pipelines.training.model import load_method
from ssl_pipelines.views.plain import plain_view

BY_HAND = "promote.override=tried on my images"


def cli(*words: str):
    from ssl_pipelines.cli import cli as group

    return CliRunner().invoke(group, list(words))


def test_promoted_listed_started_from_and_exported(finished, refused):
    finished.run("--pipeline=promote", params=BY_HAND)
    assert finished.said("promote: version 1 of encoder is @champion")
    finished.run("--pipeline=promote")
    assert finished.said("version 1 of encoder has these weights and is @champion already; nothing to do")
    [row] = json.loads(cli("models", "--json").output)
    assert (row["version"], row["alias"], row["method"]) == ("encoder/1", "@champion", "simclr")
    assert row["data"].startswith("digits ")
    for command in ("models", "rollback"):
        unknown = cli(command, "--name", "encodr")
        assert (unknown.exit_code, "--name='encodr' is unknown; did you mean 'encoder'?" in unknown.output) == (1, True)
    back = cli("rollback")
    assert back.exit_code == 1
    assert back.output.strip() == "Error: version 1 is the first champion of encoder; there is none before it to go back to"
    shutil.copytree(finished.root / "data/06_models", finished.root / "before")
    # Exported as it stands, with its scores and not trained anew.
    finished.run("--pipeline=export", params="seed=4")
    assert not finished.said("pretrain:")
    card = (finished.root / "data/09_export/README.md").read_text()
    scores = {
        row["metric"]: row["value"] for row in json.loads((finished.root / "data/07_model_output/linear_eval.json").read_text())
    }
    assert f"| linear probe, top-1 | {100 * scores['linear.top1']:.1f} % |" in card
    assert f"| linear probe, top-1 of random initialization | {100 * scores['linear.random_init_top1']:.1f} % |" in card
    store, method = Store.open(finished.root / "data/02_intermediate"), load_method(finished.root / "data/06_models")
    images = plain_view(torch.from_numpy(store.gather(store.ids("test")[:3]).fields["image"]), method.image_size)
    with torch.no_grad():
        expected = method.encode(images).numpy()
    session = onnxruntime.InferenceSession(str(finished.root / "data/09_export/encoder.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-4)
    # The champion's weights are where a new training starts, by any of their names.
    start = "seed=1,pretrain.images_seen=64,pretrain.init_from="
    finished.run("--pipeline=pretrain", params=f"{start}@champion")
    finished.run("--pipeline=pretrain", params=f"{start}models:/encoder@champion")
    assert "pretrain: up to date" in finished.lines
    message = refused(lambda: finished.run("--pipeline=pretrain", params=f"{start}models:/encoder@challenger"))
    assert message.startswith("pretrain.init_from='models:/encoder@challenger': ")
    assert "no such model" in message


def test_a_gate_has_an_exit_code(finished, refused):
    message = refused(lambda: finished.run("--pipeline=promote", params="promote.margin=0.9,promote.require=true"))
    assert message.startswith("promote: version 1 of encoder is not @champion: ")
    assert "the lower end has to lie above 90" in message
    finished.run("--pipeline=promote", params="promote.margin=0.9")
    assert finished.said("is not @champion")
