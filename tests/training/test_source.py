"""What a training may start from is known by its header, before any weights are read."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.training.source import check_source


def test_a_file_and_a_model_folder_are_taken(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "encoder.safetensors")
    assert check_source(str(tmp_path)) == tmp_path / "encoder.safetensors"
    assert check_source(str(tmp_path / "encoder.safetensors")) == tmp_path / "encoder.safetensors"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere", None, "is not there; allowed: a model folder or a .safetensors file"),
        ("weights.pt", b"x", "is no .safetensors file"),
        ("README", b"x", "is no .safetensors file"),
        ("a.safetensors", b"", "is not a safetensors file"),
        ("b.safetensors", b"\xff" * 64, "is not a safetensors file"),
    ],
)
def test_anything_else_is_one_line(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"^pretrain\.init_from='[^\n]*{name}'[^\n]*{words}"):
        check_source(str(tmp_path / name))


def test_a_folder_without_an_encoder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"encoder\.safetensors is missing there"):
        check_source(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        check_source(str(tmp_path / "a.safetensors"))


def test_a_truncated_download_is_named(tmp_path):
    save_file({"weight": torch.zeros(1000)}, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[:-100])
    with pytest.raises(InputError, match="is not a safetensors file"):
        check_source(str(tmp_path / "a.safetensors"))
