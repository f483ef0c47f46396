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
    """A finished folder (or the files of one room in it) and the digest by which the rooms after it know it."""

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

    def write(self, path: Path) -> None:
        body = {"schema_version": SCHEMA_VERSION, "fingerprint": self.fingerprint or self.recipe}
        write_json(path, body | {"inputs": self.inputs, "parameters": self.parameters, "code": self.code.body()})

    @staticmethod
    def read(path: Path) -> Record | None:
        """The record at `path`, or None where there is none or one of another schema."""
        if not path.is_file():
            return None
        body = read_json(path)
        if body.get("schema_version") != SCHEMA_VERSION:
            return None
        return Record(body["parameters"], body["inputs"], Code.of(body["code"]), body["fingerprint"])


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
