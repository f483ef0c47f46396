"""A model folder, and a folder of images with all that goes wrong in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.image_samples import encoded, noise, write_image
from tests.evaluation.evaluation_samples import make_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "simclr")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """150 images in folders, three of them copies of one; two unreadable files; two that are no images."""
    folder = tmp_path / "images"
    for i in range(147):
        write_image(folder / f"{i % 3}" / f"{i:03}.png", i, height=20 + i % 5, width=24)
    for name in ("copy.png", "deep/er/copy.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((folder / "0/000.png").read_bytes())
    (folder / "gray.jpg").write_bytes(encoded(noise(5, channels=1), "JPEG"))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").touch()
    return folder
