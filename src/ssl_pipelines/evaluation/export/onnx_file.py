"""An encoder as an ONNX file: float images in [0, 1] in, embeddings out, any batch, and the normalization within."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_pipelines.methods.base import Method

INPUT, OUTPUT = "images", "embeddings"


class NoGraph(Exception):
    """Why a network has no ONNX file: one line."""


class Embedder(nn.Module):
    """`method.encode` at one layer, as a module."""

    def __init__(self, method: Method, eval_layer: str):
        super().__init__()
        self.method, self.eval_layer = method, eval_layer

    def forward(self, images: Tensor) -> Tensor:
        return self.method.encode(images, self.eval_layer)


def write_onnx(embedder: Embedder, images: Tensor, path: Path) -> dict[str, float]:
    """Writes `path`, whose metadata name the eval layer; returns the largest difference from torch at batch 1 and at all of `images`
    (n, C, H, W). Raises NoGraph."""
    try:
        import onnxruntime  # absent where the core is installed alone

        with _quiet(), _plain_attention(embedder):
            program = torch.onnx.export(
                embedder,
                (images[:2],),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
            assert program is not None
            program.model.metadata_props["eval_layer"] = embedder.eval_layer
            program.save(str(path), external_data=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        differences = {}
        for count in (1, len(images)):
            with torch.no_grad():
                expected = embedder(images[:count]).numpy()
            [found] = session.run([OUTPUT], {INPUT: images[:count].numpy()})
            differences[str(count)] = float(np.abs(found - expected).max())
    except Exception as error:  # whatever the exporter or the runtime lacks
        path.unlink(missing_ok=True)
        raise NoGraph(_reason(error).replace(str(path), path.name)) from error
    return differences


@contextlib.contextmanager
def _plain_attention(module: nn.Module) -> Iterator[None]:
    """timm's attention spelled out: the exporter fails on the fused one with biases."""
    fused = [part for part in module.modules() if getattr(part, "fused_attn", False)]
    for part in fused:
        part.fused_attn = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for part in fused:
            part.fused_attn = True  # type: ignore[assignment]


def _reason(error: BaseException) -> str:
    """The root cause of an exception in one line, without terminal colors and advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first.strip()[:200]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
