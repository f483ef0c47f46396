"""The handle that nodes exchange, and the note beside every artifact that says what it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts.code import Code
from ssl_pipelines.artifacts.files import read_json, write_json

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished folder (or the files of one stage in it) and the digest by which the stages after it know it."""

    path: Path
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Record:
    """What an artifact was made from: flat parameters, the fingerprints of its inputs, the code that made it."""

    parameters: dict[str, Any]
    inputs: dict[str, str]
    code: Code = field(default_factory=Code)
    fingerprint: str = ""

    @property
    def recipe(self) -> str:
        """Digest of parameters and inputs: equal recipes make equal artifacts."""
        return digest({"parameters": self.parameters, "inputs": self.inputs})

    def body(self) -> dict[str, Any]:
        said = {"schema_version": SCHEMA_VERSION, "fingerprint": self.fingerprint or self.recipe}
        return said | {"inputs": self.inputs, "parameters": self.parameters, "code": self.code.body()}

    def write(self, path: Path) -> None:
        write_json(path, self.body())

    @staticmethod
    def of(body: Any) -> Record | None:
        """From what `body` gave, or None for anything else and for another schema."""
        if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION:
            return None
        return Record(body["parameters"], body["inputs"], Code.of(body["code"]), body["fingerprint"])

    @staticmethod
    def read(path: Path) -> Record | None:
        """The record at `path`, or None where there is none or one of another schema."""
        return Record.of(read_json(path)) if path.is_file() else None


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; an empty mapping stays as {}."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and item:
            flat |= flatten(item, f"{name}.")
        else:
            flat[name] = item
    return flat
