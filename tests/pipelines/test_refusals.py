"""Bad input: one line that names the key or file, exit code 1, nothing lost."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REFUSED = {
    "method=simsaim": ("method='simsaim' is unknown", "simclr"),
    "methods.simclr.temperature=-1": ("methods.simclr.temperature=-1", "greater than 0"),
    "methods.simclr.temprature=1": ("temprature", "temperature"),
    "methods.simclrr.temperature=1": ("simclrr", "simclr"),
    "pretrain.batchsize=3": ("batchsize", "batch_size"),
    "pretrian.batch_size=3": ("pretrian", "pretrain"),
    "pretrain.epochs=1": ("images_seen", "epochs"),
    "backbone.name=resnet19": ("backbone.name='resnet19'", "resnet18"),
    "method=mae,backbone.name=resnet18": ("mae", "ViT", "vit_mini"),
    "pretrain.accumulate=2": ("pretrain.accumulate=2", "simclr"),
    "seed=-1": ("seed=-1",),
    "runtime.accelerator=tpu": ("runtime.accelerator='tpu'", "cuda"),
    "dataset.size=0": ("dataset.size=0",),
    "dataset.root=nowhere.npz": ("nowhere.npz",),
    "dataset.reader=zip": ("dataset.reader='zip'", "parquet"),
    "methods.simclr.views.size=999": ("views.size", "dataset.size"),
    "pretrain.init_from=nowhere": ("nowhere",),
    "pretrain.batch_size=5000": ("pretrain.batch_size=5000",),
}


@pytest.mark.parametrize("params", REFUSED)
def test_parameters_are_refused_in_one_line(project, refused, params):
    message = refused(lambda: project.run("--pipeline=pretrain", params=params))
    for part in REFUSED[params]:
        assert part in message, message
    assert not (project.root / "data/06_models/encoder.safetensors").exists()


def test_nothing_is_read_before_parameters_are_checked(project, refused):
    refused(lambda: project.run(params="finetune.imagesseen=3"))
    assert not (project.root / "data/02_intermediate").exists()


@pytest.mark.parametrize("key", ["diagnose.eval_layer", "finetune.stage"])
def test_a_layer_that_the_network_has_not_is_refused_before_anything_is_read(project, refused, key):
    message = refused(lambda: project.run(params=f"{key}=layer9"))
    assert message.startswith(f"{key}='layer9' is unknown. Allowed: final"), message
    assert not (project.root / "data/02_intermediate").exists()


STARTS = {
    "pretrain.init_from=nowhere": "is not there; allowed: a model folder or a .safetensors file",
    "pretrain.init_from=weights.pt": "is no .safetensors file; allowed: ",
    "pretrain.init_from=broken.safetensors": "is not a safetensors file",
    "pretrain.init_from=empty": "is no model folder: encoder.safetensors is missing there",
    "pretrain.init_from=timm:resnet18": "is not there",
    "pretrain.init_from=models:/encoder@champion": "has no such model",
    "pretrain.init_from=0123456789abcdef0123456789abcdef": "no such run",
    "method=clusterfit,pretrain.upstream.teacher=empty": "pretrain.upstream.teacher='",
    "method=clusterfit,pretrain.upstream.teacher=models:/encoder/3": "has no such model",
}


@pytest.mark.parametrize("params", STARTS)
def test_what_cannot_be_started_from_is_said_before_data_are_read(project, refused, params):
    (project.root / "weights.pt").write_bytes(b"x")
    (project.root / "broken.safetensors").write_bytes(b"not one")
    (project.root / "empty").mkdir()
    assert STARTS[params] in refused(lambda: project.run("--pipeline=linear_eval", params=params))
    assert not (project.root / "data/02_intermediate").exists()


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_tracking_server_that_is_down_is_said_before_data_are_read(project, refused, monkeypatch, scheme):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://127.0.0.1:{port}")
    assert "the MLflow store cannot be reached" in refused(lambda: project.run("--pipeline=pretrain"))
    assert not (project.root / "data/02_intermediate").exists()
    project.run("--pipeline=ingest")  # tells MLflow nothing


def test_unknown_environment_and_pipeline(project, refused):
    assert "env='nope' is unknown" in refused(lambda: project.run("--env=nope"))
    message = refused(lambda: project.run("--pipeline=pretran"))
    assert "did you mean 'pretrain'?" in message


def test_the_traceback_is_in_the_log_file(project, refused):
    refused(lambda: project.run(params="method=simsaim"))
    assert "Traceback" in (project.root / "logs/ssl_pipelines.log").read_text()


def test_unlabeled_data_pretrains_and_says_what_evaluation_needs(project, refused):
    images = np.load(project.root / "digits.npz")["images"]
    np.savez(project.root / "digits.npz", images=images)
    project.run()
    assert project.said("linear_eval: skipped", "label")
    metrics = json.loads((project.root / "data/08_reporting/metrics.json").read_text())
    assert "linear" not in metrics
    assert metrics["pretrain"]["images_seen"] == 256
    assert (project.root / "data/08_reporting/report.html").is_file()
    assert "label" in refused(lambda: project.run("--pipeline=linear_eval"))


def test_a_leaked_duplicate_closes_the_gate(project, refused):
    data = dict(np.load(project.root / "digits.npz"))
    split = np.where(np.arange(600) < 450, "train", "test")
    data["images"][599] = data["images"][0]
    np.savez(project.root / "digits.npz", **data, split=split)
    message = refused(lambda: project.run("--pipeline=pretrain"))
    assert "validate" in message
    assert project.said("validate: failed", "split")
    assert not (project.root / "data/06_models").exists()
    project.run("--pipeline=validate", params="validate.leakage.severity=warning")
    assert project.said("validate: warning", "split")


def test_a_missing_class_closes_the_gate(project, refused):
    data = dict(np.load(project.root / "digits.npz"))
    split = np.where((np.arange(600) < 450) & (data["labels"] != 3), "train", "test")
    np.savez(project.root / "digits.npz", **data, split=split)
    refused(lambda: project.run("--pipeline=validate"))
    assert project.said("validate: failed", "class")


def test_five_percent_undecodable_files_stop_or_warn_as_configured(project, refused):
    folder = project.root / "photos"
    images = np.load(project.root / "digits.npz")
    from PIL import Image

    for row in range(200):
        place = folder / str(images["labels"][row])
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{row}.png"
        Image.fromarray(images["images"][row]).save(path)
        if row % 20 == 0:
            path.write_bytes(path.read_bytes()[:40])
    where = "dataset.reader=image_folder,dataset.root=photos,validate.class_presence.severity=warning"
    project.run("--pipeline=validate", params=where)
    assert project.said("validate: warning", "95")
    manifest = pd.read_parquet(project.root / "data/02_intermediate/manifest.parquet")
    assert manifest.loc[manifest.status == "unusable", "reason"].notna().all()
    assert (manifest.status == "unusable").sum() == 10
    refused(lambda: project.run("--pipeline=validate", params=f"{where},validate.decodable_share.min=0.99"))


def test_a_checkpoint_of_another_architecture(finished, refused):
    other = finished.root / "other"
    shutil.copytree(finished.root / "data/06_models", other)
    message = refused(
        lambda: finished.run(
            "--pipeline=pretrain", params="pretrain.init_from=other,backbone.name=resnet18,pretrain.images_seen=64"
        )
    )
    assert "other" in message
    assert "another architecture" in message
    assert (finished.root / "data/06_models/pretrain.record.json").is_file()


HOLD = """
import sys, time
from pathlib import Path
from ssl_pipelines.artifacts.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_beside_the_first(project, refused):
    lock = project.root / "data/.locks/ingest.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        message = refused(lambda: project.run("--pipeline=ingest"))
        other.kill()
    assert f"process {other.pid}" in message
    time.sleep(0.1)
    project.run("--pipeline=ingest")


def test_no_disk_space_for_the_store(project, refused, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 100, 100))
    message = refused(lambda: project.run("--pipeline=ingest"))
    assert "space" in message
    assert not list((project.root / "data").glob("02_intermediate*"))
