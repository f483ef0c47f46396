"""What people expect of `kedro run` beside --pipeline: parts of the road, on what stands there."""

from __future__ import annotations

import shutil

from click.testing import CliRunner


def test_from_a_stage_on_what_stands_before_is_taken_and_what_is_stale_is_named(finished):
    finished.run("--from-nodes=linear_eval")
    assert finished.said("linear_eval: up to date")
    assert not finished.said("pretrain: ")
    assert not finished.said("taken as it stands")
    finished.run("--from-nodes=linear_eval", params="pretrain.images_seen=320")
    [line] = [line for line in finished.lines if line.startswith("taken as it stands")]
    assert line == "taken as it stands, though not what would be made now: model: pretrain.images_seen 256 -> 320"
    assert finished.said("linear_eval: up to date")


def test_what_is_missing_before_is_named_in_one_line(finished, refused):
    shutil.rmtree(finished.root / "data/04_feature")
    assert refused(lambda: finished.run("--nodes=linear_eval,knn_eval")) == (
        "the stages before do not run, and what they make is missing: data/04_feature/extract_features.record.json; "
        "kedro run --pipelines=extract_features makes it"
    )


def test_up_to_an_artifact(finished):
    finished.run("--to-outputs=features")
    assert finished.said("extract_features: up to date")
    assert not finished.said("linear_eval: ")


def test_a_version_to_load_means_nothing(project, refused):
    assert "--load-versions means nothing here" in refused(lambda: project.run("--load-versions=model:2026-01-01T00.00.00.000Z"))


def test_an_unknown_stage_is_refused(project, refused):
    assert "--from-nodes='linear' is unknown; did you mean 'linear_eval'?" in refused(lambda: project.run("--from-nodes=linear"))


def test_a_pipeline_says_what_its_stages_read_and_write(project):
    from ssl_pipelines.cli import cli

    shown = CliRunner().invoke(cli, ["registry", "describe", "knn_eval"]).output
    assert shown.index("name: ingest") < shown.index("name: extract_features") < shown.index("name: knn_eval")
    assert "- params:knn_eval" in shown
    assert "- knn_scores" in shown
    refusal = CliRunner().invoke(cli, ["registry", "describe", "knn"])
    assert refusal.exit_code == 1
    assert "pipeline='knn' is unknown; did you mean 'knn_eval'?" in refusal.output
    assert "knn_eval" in CliRunner().invoke(cli, ["registry", "list"]).output
