"""Where a training may start from: what `pretrain.init_from` names, looked at without reading weights."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ssl_pipelines.artifacts import InputError

ENDING, ENCODER = ".safetensors", "encoder.safetensors"
ALLOWED = f"allowed: a model folder or a {ENDING} file"


def check_source(source: str) -> Path:
    """The file of weights: `source` itself, or the encoder within a model folder. Reads the file's header alone.

    Raises InputError, one line, where nothing lies there, or something else, or what cannot be read."""
    path, key = Path(source), f"pretrain.init_from={source!r}"
    if not path.exists():
        raise InputError(f"{key} is not there; {ALLOWED}")
    if path.is_dir():
        path = path / ENCODER
        if not path.is_file():
            raise InputError(f"{key} is no model folder: {ENCODER} is missing there; {ALLOWED}")
    if path.suffix != ENDING:
        raise InputError(f"{key} is no {ENDING} file; {ALLOWED}")
    try:
        with safe_open(path, "numpy") as opened:
            opened.keys()
    except SafetensorError as error:
        raise InputError(f"{key}: {path.name} is not a safetensors file ({error})") from None
    except OSError as error:
        raise InputError(f"{key} cannot be read ({error.strerror or error})") from None
    return path
