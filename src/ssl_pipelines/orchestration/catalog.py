"""The one dataset class: a handle to a finished artifact. The core writes the files itself, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from ssl_pipelines.artifacts import Artifact, Record


class ArtifactDataset(AbstractDataset[Artifact, Artifact]):
    """`filepath` is the record beside the artifact; its folder is the artifact's.

    `outputs`: the files and folders of the artifact below its folder; none where it owns the whole folder. `resumes`: what was done so far
    lies in the folder, so that a killed stage goes on. `unstable`: outputs that differ between equal results. `metrics`: the output that
    DVC shows as metrics. `orchestration.stages` reads all of them."""

    def __init__(
        self,
        *,
        filepath: str,
        outputs: Sequence[str] = (),
        resumes: bool = False,
        unstable: Sequence[str] = (),
        metrics: str = "",
        metadata: dict[str, Any] | None = None,
    ):
        self._record = Path(filepath)
        self._said = {"outputs": [*outputs], "resumes": resumes, "unstable": [*unstable], "metrics": metrics}
        self.metadata = metadata

    def load(self) -> Artifact:
        record = Record.read(self._record)
        if record is None:
            raise DatasetError(f"{self._record} is not there: the stage before has not run")
        return Artifact(self._record.parent, record.fingerprint)

    def save(self, data: Artifact) -> None:
        record = Record.read(self._record)
        if record is None or record.fingerprint != data.fingerprint:
            raise DatasetError(f"{self._record} does not belong to the artifact that was returned")

    def _exists(self) -> bool:
        return self._record.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._record)} | {key: value for key, value in self._said.items() if value}
