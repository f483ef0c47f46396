"""What a second command or an error in the middle may do to a room: nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from ssl_pipelines.artifacts import Artifact, InputError, Record
from ssl_pipelines.artifacts.files import write_json
from ssl_pipelines.orchestration.freshness.make import Build
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import project_stages
from tests.data.image_samples import noise
from tests.stage_calls import call, stage_run

pytestmark = pytest.mark.usefixtures("home")


def asked(**changes) -> Parameters:
    return Parameters.of({"method": "simclr", "pretrain": {"images_seen": 64}, "dataset": {"size": 12}} | changes)


def make(stage: str, parameters: Parameters, build: Build) -> Artifact:
    return stage_run(stage, parameters, store=Artifact(Path("store"), "a")).make(build)


def write(folder: Path, stage: str, text: str) -> None:
    for name in project_stages()[stage].outputs:
        write_json(folder / name, text)


def test_a_second_run_leaves_the_first_ones_work_alone(home):
    def slow(folder: Path, record: Record) -> None:
        write_json(folder / "few_labels.draws.json", [1])
        with pytest.raises(InputError, match="few_labels is being made by another run"):
            make("few_labels", asked(few_labels={"draws": 3}), lambda *_: pytest.fail("two writers"))
        write_json(folder / "few_labels.json", [2])

    made = make("few_labels", asked(), slow)
    assert {path.name for path in made.path.iterdir()} == {"few_labels.draws.json", "few_labels.json", "few_labels.record.json"}


def test_a_kill_before_the_last_rename_is_mended_without_work():
    made = make("few_labels", asked(), lambda folder, record: write_json(folder / "few_labels.json", [2]))
    made.path.rename(made.path.with_name("few_labels.former"))
    again = make("few_labels", asked(), lambda *_: pytest.fail("it is there"))
    assert json.loads((again.path / "few_labels.json").read_text()) == [2]


def test_an_error_after_the_scores_leaves_the_former_ones_with_their_record():
    three, four = {"num_values": 3}, {"num_values": 4}

    def broken(folder: Path, record: Record) -> None:
        write(folder, "linear_eval", "four")
        raise ConnectionError("MLflow is not reachable")

    made = make("linear_eval", asked(linear_eval=three), lambda folder, record: write(folder, "linear_eval", "three"))
    with pytest.raises(ConnectionError):
        make("linear_eval", asked(linear_eval=four), broken)
    make("linear_eval", asked(linear_eval=three), lambda *_: pytest.fail("it is there"))
    assert json.loads((made.path / "linear_eval.json").read_text()) == "three"
    make("linear_eval", asked(linear_eval=four), lambda folder, record: write(folder, "linear_eval", "four"))
    assert json.loads((made.path / "linear_eval.json").read_text()) == "four"


def test_a_kill_while_files_are_moved_leaves_no_record_that_vouches_for_them(monkeypatch):
    made = make("linear_eval", asked(), lambda folder, record: write(folder, "linear_eval", "three"))
    with monkeypatch.context() as patched:
        real = Path.rename

        def rename(self, other):
            if self.name == "linear_eval.predictions.parquet":
                raise KeyboardInterrupt
            return real(self, other)

        patched.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            make("linear_eval", asked(seed=1), lambda folder, record: write(folder, "linear_eval", "four"))
    assert not (made.path / "linear_eval.record.json").exists()
    make("linear_eval", asked(), lambda folder, record: write(folder, "linear_eval", "three"))
    assert sorted(path.name for path in made.path.iterdir()) == [
        "linear_eval.json", "linear_eval.predictions.parquet", "linear_eval.record.json"
    ]  # fmt: skip


def test_a_record_of_an_earlier_version_is_said_to_be_one(caplog):
    """It has code of another form, which names nothing that could have changed."""

    def write_it(folder: Path, record: Record) -> None:
        write(folder, "linear_eval", "three")

    record = make("linear_eval", asked(), write_it).path / "linear_eval.record.json"
    body = json.loads(record.read_text())
    record.write_text(json.dumps(body | {"code": {"linear_eval.py": "0" * 16}}))
    make("linear_eval", asked(), lambda *_: pytest.fail("it is there"))
    what = "its code was recorded by an earlier version"
    assert caplog.messages[-1] == (
        f"linear_eval: up to date, but {what} and cannot be compared (runtime.on_code_change=rerun makes it anew)"
    )
    with caplog.at_level(logging.INFO, "ssl_pipelines"):
        make("linear_eval", asked(runtime={"on_code_change": "rerun"}), write_it)
    assert caplog.messages[-1] == f"linear_eval: {what}"


def test_another_fit_reads_the_images_again_and_says_why(home, caplog):
    """The fingerprint holds it too: a model of one fit is none of the other, even where all images are squares."""
    np.savez(home / "squares.npz", images=np.stack([noise(i, 8, 8) for i in range(40)]))

    def ingested(**changes) -> str:
        caplog.clear()
        dataset = {"reader": "npz", "root": str(home / "squares.npz"), "size": 8}
        with caplog.at_level(logging.INFO, "ssl_pipelines"):
            given = {"dataset": dataset | changes, "pretrain": {"epochs": 1}, "runtime": {"workers": 1}}
            return call("ingest", Parameters.of(given)).fingerprint

    first = ingested()
    assert ingested() == first
    assert "ingest: up to date" in caplog.text
    padded = ingested(fit="pad")
    assert "ingest: dataset.fit square -> pad" in caplog.text
    assert padded != first
    assert ingested(fit="square") == first
