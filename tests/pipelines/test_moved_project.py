"""A project goes on in another folder: models, champion, scores, and new trainings; what is left at the old place is not touched."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from ssl_pipelines.orchestration.mlflow.tracking import Tracker


def test_a_renamed_project_goes_on(finished, enter, monkeypatch, tmp_path, caplog):
    finished.run("--pipeline=promote", params="promote.override=a test")
    run = json.loads((finished.root / "data/06_models/provenance.json").read_text())["mlflow_run_id"]
    digits = np.load(finished.root / "digits.npz")["images"]
    (finished.root / "photos").mkdir()
    for index in range(3):
        Image.fromarray(digits[index]).save(finished.root / f"photos/{index}.png")
    target = tmp_path / "another place" / "50%20 #1"
    target.parent.mkdir()
    monkeypatch.chdir(tmp_path)
    finished.root.rename(target)
    finished.root.write_text("a file where the project was")
    moved = enter(target, monkeypatch)
    moved.run("--pipeline=embed", params="embed.source=photos,embed.model=@champion")
    assert list((target / "data/12_embeddings").glob("photos-*.parquet"))
    moved.run("--pipeline=export", params=f"export.model={run}")
    assert (target / "data/09_export/encoder.safetensors").is_file()
    moved.run("--pipeline=linear_eval", params="seed=1,pretrain.images_seen=64,pretrain.init_from=@champion")
    again = json.loads((target / "data/06_models/provenance.json").read_text())["mlflow_run_id"]
    assert (target / "mlartifacts" / again / "artifacts").is_dir()
    moved.run("--pipeline=compare", params=f"compare.runs=[{run},{again}]")
    assert (target / "data/09_compare/comparison.html").is_file()
    assert Tracker("a test", "a commit").client.get_run(again).info.artifact_uri.startswith((target / "mlartifacts").as_uri())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another place", "project"]
    assert [path.name for path in target.parent.iterdir()] == [target.name]
