"""A model behind MLflow's server: the same numbers as the embed tool's, every bad request answered, the server alive after each.

Fast tests ask the server's application in this process; the slow one starts `make serve` and runs what docs/serving.md shows."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from projects import ROOT
from ssl_pipelines.data.decode import DecodeSpec, decode
from ssl_pipelines.inference.encoder import ImageEncoder
from tests.data.image_samples import encoded, noise, png_bomb
from tests.pipelines.test_embed_and_search import register

JSON = "application/json"
FORMATS = ("PNG", "JPEG", "PNG", "WEBP")
IMAGES = [encoded(noise(i, 30, 20 + i), form) for i, form in enumerate(FORMATS)]
ONE_PIXEL = encoded(noise(9, 1, 1))


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


TEXTS = [base64_of(image) for image in IMAGES]
FORMS: dict[str, tuple[str, bytes]] = {
    "dataframe_split": (JSON, json.dumps({"dataframe_split": {"columns": ["image"], "data": [[text] for text in TEXTS]}}).encode()),
    "dataframe_records": (JSON, json.dumps({"dataframe_records": [{"image": text} for text in TEXTS]}).encode()),
    "inputs by column": (JSON, json.dumps({"inputs": {"image": TEXTS}}).encode()),
    "inputs by row": (JSON, json.dumps({"inputs": [{"image": text} for text in TEXTS]}).encode()),
    "instances": (JSON, json.dumps({"instances": [{"image": text} for text in TEXTS]}).encode()),
    "csv": ("text/csv", ("image\n" + "\n".join(TEXTS) + "\n").encode()),
}


def records(*images: Any) -> bytes:
    return json.dumps({"dataframe_records": [{"image": image} for image in images]}).encode()


# name -> content type, body, status, what the answer says
REFUSED: dict[str, tuple[str, bytes, int, str]] = {
    "empty body": (JSON, b"", 400, "valid JSON"),
    "no json": (JSON, b"hello", 400, "valid JSON"),
    "empty object": (JSON, b"{}", 400, "exactly one of the input fields"),
    "list": (JSON, b"[1]", 400, "exactly one of the input fields"),
    "missing column": (JSON, json.dumps({"dataframe_records": [{"picture": TEXTS[0]}]}).encode(), 400, "missing inputs ['image']"),
    "null": (JSON, records(None), 400, "column image"),
    "number": (JSON, records(5), 400, "column image"),
    "half a base64": (JSON, records("abcde"), 400, "base64"),
    "zero rows": (JSON, json.dumps({"dataframe_split": {"columns": ["image"], "data": []}}).encode(), 400, "holds no image"),
    "zero inputs": (JSON, json.dumps({"inputs": {"image": []}}).encode(), 400, "holds no image"),
    "too many rows": (JSON, records(*[base64_of(ONE_PIXEL)] * 1025), 400, "1,025 images in one request, allowed are 1,024"),
    "too many bytes": (JSON, records(base64_of(bytes(65_000_000))), 400, "65.0 MB of images in one request, allowed are 64"),
    "text": ("text/plain", b"x", 415, "content types"),
    "an image as it is": ("image/png", IMAGES[0], 415, "content types"),
    "another encoding": (f"{JSON}; charset=latin-1", records(), 415, "UTF-8"),
    "no parquet": ("application/vnd.apache.parquet", b"x", 400, "Parquet"),
}
ROWS = {  # what is wrong with one row alone
    "corrupt": (base64_of(IMAGES[0][:60]), "cannot be decoded"),
    "no image": (base64_of(b"no image at all"), "not in an image format"),
    "empty": ("", "nothing was sent, or it is not base64"),
    "no base64": ("?!?!", "nothing was sent, or it is not base64"),
    "too large": (base64_of(png_bomb()), "max_megapixels"),
}


@pytest.fixture
def load(finished_folder, monkeypatch):
    """(model_config) -> the trained model, as MLflow's server loads it."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")

    def go(**settings: Any) -> Any:
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"sqlite:///{finished_folder}/mlflow.db")
        try:
            [run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
            return mlflow.pyfunc.load_model(run.data.tags["model_uri"], **settings)
        finally:
            mlflow.set_tracking_uri(before)

    return go


@pytest.fixture
def served(load):
    """(content type, body) -> (status, text), of MLflow's server application in this process."""
    return application(load())


def application(model: Any) -> Any:
    import asyncio

    from mlflow.pyfunc import scoring_server

    app = scoring_server.init(model)

    def ask(content_type: str, body: bytes) -> tuple[int, str]:
        sent: list[dict[str, Any]] = []
        whole = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            return whole.pop() if whole else await asyncio.sleep(60, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/invocations", "raw_path": b"/invocations", "query_string": b""}
        scope |= {"headers": [(b"content-type", content_type.encode())], "http_version": "1.1", "scheme": "http", "root_path": ""}
        asyncio.run(app(scope | {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}, receive, send))
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()

    return ask


def expected(finished_folder: Path, contents: list[bytes]) -> np.ndarray:
    return ImageEncoder(finished_folder / "data/06_models").embed_contents(contents).vectors


def embeddings(text: str) -> np.ndarray:
    rows = json.loads(text)["predictions"]
    assert [row["error"] for row in rows] == [None] * len(rows)
    return np.array([row["embedding"] for row in rows])


def check(ask: Any, folder: Path) -> None:
    """All forms, all refusals, all bad rows; a good request after each."""
    for name, (kind, body) in FORMS.items():
        status, text = ask(kind, body)
        assert status == 200, (name, text[:300])
        np.testing.assert_allclose(embeddings(text), expected(folder, IMAGES), atol=1e-4, err_msg=name)
    for name, (kind, body, wanted, reason) in REFUSED.items():
        status, text = ask(kind, body)
        assert status == wanted, (name, status, text[:300])
        assert reason in text, (name, text[:300])
        assert len(text) < 3000, f"{name}: the request is not sent back"
        assert "\n" not in text.strip(), name
        assert ask(JSON, records(TEXTS[0]))[0] == 200, f"alive after {name}"
    status, text = ask(JSON, records(TEXTS[0], *[content for content, _ in ROWS.values()], base64_of(ONE_PIXEL)))
    first, *bad, last = json.loads(text)["predictions"]
    assert status == 200
    assert first["error"] is last["error"] is None
    np.testing.assert_allclose([first["embedding"], last["embedding"]], expected(folder, [IMAGES[0], ONE_PIXEL]), atol=1e-4)
    for row, (name, (_, reason)) in zip(bad, ROWS.items(), strict=True):
        assert row["embedding"] is None, name
        assert reason in row["error"], (name, row)


def test_every_form_of_request_and_every_refusal(served, finished_folder):
    check(served, finished_folder)


def test_images_as_bytes_in_parquet(served, finished_folder):
    file = io.BytesIO()
    pd.DataFrame({"image": IMAGES}).to_parquet(file)
    status, text = served("application/vnd.apache.parquet", file.getvalue())
    assert status == 200
    np.testing.assert_allclose(embeddings(text), expected(finished_folder, IMAGES), atol=1e-4)


def test_a_limit_can_be_set_for_one_server(load):
    ask = application(load(model_config={"max_images": 2}))
    assert ask(JSON, records(*TEXTS[:2]))[0] == 200
    status, text = ask(JSON, records(*TEXTS[:3]))
    assert (status, "3 images in one request, allowed are 2" in text) == (400, True)
    assert "allowed are 64" in ask(*REFUSED["too many bytes"][:2])[1], "the other limit stays"


def test_a_frame_in_python_has_no_limit(load, monkeypatch):
    monkeypatch.delenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT")
    answer = load(model_config={"max_images": 2}).predict(pd.DataFrame({"image": [*IMAGES, b""]}, index=list("abcde")))
    assert answer.index.tolist() == list("abcde")
    assert answer.error.tolist() == [None] * 4 + ["empty file"]


def test_a_plain_pixmap_is_no_base64(served, finished_folder):
    pixmap = b"P3\n1\n1\n255\n9\n9\n99"
    decode(pixmap, DecodeSpec(8, 3, 100))
    status, text = served(JSON, records(base64_of(pixmap)))
    assert status == 200
    np.testing.assert_allclose(embeddings(text), expected(finished_folder, [pixmap]), atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------- the real server


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_command(port: int) -> str:
    """What `make serve` runs; on the store of the project in which it is run."""
    words = ["make", "--dry-run", "-C", str(ROOT), "serve", f"PORT={port}", f"BIN={Path(sys.executable).parent}"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    [command] = [line for line in lines if "models serve" in line]
    return command


@pytest.mark.slow
def test_make_serve_and_what_the_page_shows(finished, tmp_path):
    register(finished)
    port = free_port()
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(
        ["bash", "-c", serve_command(port)], cwd=finished.root, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"

    def ask(kind: str, body: bytes) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{url}/invocations", body, {"Content-Type": kind}), timeout=300
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    try:
        wait_for(f"{url}/ping", server, 400, tmp_path / "server.log")
        check(ask, finished.root)
        (finished.root / "images").mkdir()
        for i, (image, form) in enumerate(zip(IMAGES, FORMATS, strict=True)):
            (finished.root / f"images/{i}.{form.lower()}").write_bytes(image)
        finished.run("--pipeline=embed", params="embed.source=images,embed.model=@champion,embed.output=e.parquet")
        table = pd.read_parquet(finished.root / "e.parquet")
        np.testing.assert_allclose(np.stack(table.embedding), embeddings(ask(*FORMS["inputs by column"])[1]), atol=1e-4)
        run_the_examples(finished.root, url)
        assert urllib.request.urlopen(f"{url}/ping").status == 200
    finally:
        family = [server, *psutil.Process(server.pid).children(recursive=True)]
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        _, alive = psutil.wait_procs([one for one in family if isinstance(one, psutil.Process)], 20)
        for one in alive:
            one.kill()
    assert not alive, "Ctrl-C ends the whole tree"


def wait_for(address: str, server: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(address, timeout=5)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"not ready in {seconds} s: {log.read_text()[-2000:]}")


def run_the_examples(folder: Path, url: str) -> None:
    """The page's curl and Python, with this server's address."""
    Image.effect_noise((40, 30), 50).convert("RGB").save(folder / "cat.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    [curl] = [block for block in blocks("bash") if "curl" in block]
    [python] = blocks("python")
    wanted = expected(folder, [(folder / "cat.jpg").read_bytes()])[0]
    done = subprocess.run(
        ["bash", "-c", curl.replace("http://127.0.0.1:5001", url)], cwd=folder, capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(embeddings(done.stdout)[0], wanted, atol=1e-4)
    command = [sys.executable, "-c", python.replace("http://127.0.0.1:5001", url)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    np.testing.assert_allclose(json.loads(first), wanted[:3], atol=1e-4)
    assert "cannot be" in second or "image format" in second
