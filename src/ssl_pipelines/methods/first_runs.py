"""Methods that stand on an earlier run, and can say which one is trained first where the user gives none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ssl_pipelines.networks.config import BackboneConfig


class FirstRuns(ABC):
    """A base beside `Method`. Of its `upstream`, what `trained_first` names need not be given."""

    trained_first: ClassVar[Mapping[str, str]]  # upstream -> the method of the run that makes it

    @classmethod
    @abstractmethod
    def first_run(cls, name: str, config: Any, backbone: BackboneConfig, image_size: int) -> dict[str, Any]:
        """The parameters with which that run fits one of this method. Raises InputError where none can."""


def trained_first(method: type) -> Mapping[str, str]:
    """upstream -> method of the run that is trained where none is given; empty for most."""
    return method.trained_first if issubclass(method, FirstRuns) else {}
