"""What a row is made from, as two digests: one of parameters and data, one of the method's code."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Record
from ssl_pipelines.artifacts.code import Code, Cut, code_of
from ssl_pipelines.artifacts.definitions import PACKAGE
from ssl_pipelines.artifacts.record import digest, flatten
from ssl_pipelines.methods.registry import TABLE, class_root, method_class, module_of
from ssl_pipelines.networks.own import OWN
from ssl_pipelines.orchestration.freshness.make import Digests, differs
from ssl_pipelines.orchestration.leaderboard.budgets import Budget, donors, kind_of
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import CUT
from ssl_pipelines.reporting.leaderboard import Row

READ = ("run", "extract_features", "linear_eval", "knn_eval")
ROW = "leaderboard row"  # instead of roots: a row keeps the digest of its code alone
RUNS = (  # what a row runs: the core's functions, without the pipelines around them
    f"{PACKAGE}.training.pretrain:pretrain",
    f"{PACKAGE}.evaluation.features:extract_features",
    f"{PACKAGE}.evaluation.linear:linear_eval",
    f"{PACKAGE}.evaluation.knn:knn_eval",
)
BUILD = f"{PACKAGE}.networks.build:build_encoder"
# kind -> the classes that `build_encoder` makes of it: a row's encoder is known, so that the other kinds' are not followed from there.
ENCODERS = {
    "resnet": ("ResNet",),
    "vit": ("ViT", "RelativeViT"),
    "unpadded": ("UnpaddedNet",),
    OWN: ("Identity",),
    "timm": ("TimmEncoder",),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One method's row: `place` is where it is made, a folder of its own for every content and code."""

    method: str
    tree: dict[str, Any]
    encoder: str
    values: dict[str, Any]  # the parameters that the fingerprint holds, flat
    fingerprint: str
    code: str
    place: Path
    donors: dict[str, Plan] = field(default_factory=dict)  # role -> whose model it takes

    @property
    def training(self) -> Path:
        return self.place / "training"

    @property
    def model(self) -> Path:
        return self.training / "final"

    @property
    def has_model(self) -> bool:
        return (self.model / "config.json").is_file()  # the last file of a finished training

    def why_remade(self, row: Row | None) -> str | None:
        """None where the row stands. A bug is tried again: its training goes on where it stopped, which is soon seen."""
        if row is None:
            return "no row yet"
        if row.verdict == "bug":
            return "its row is a bug; tried again"
        return differs(_digests(row.fingerprint, row.code), _digests(self.fingerprint, self.code), "rerun")


def _digests(fingerprint: str, code: str) -> Digests:
    return Digests(fingerprint, Code((ROW,), code))


def plan(method: str, budget: Budget, data: str, store: str, work: Path) -> Plan:
    """`store`: the digest of the data. Raises InputError where the method cannot run at this budget."""
    module_of(method)
    stands_on = {role: plan(donor, budget, data, store, work) for role, donor in donors(method).items()}
    tree = budget.tree(method, data, {role: str(donor.model) for role, donor in stands_on.items()})
    parameters = Parameters.of(tree)
    values = {key: value for key, value in flatten(parameters.read_by(READ)).items() if not key.startswith("pretrain.upstream")}
    inputs = {"store": store} | {f"upstream.{role}": digest([donor.fingerprint, donor.code]) for role, donor in stands_on.items()}
    fingerprint, encoder = Record(values, inputs).recipe, parameters.run.backbone.name
    code = code_digest(method, encoder)
    place = work / budget.name / f"{method}-{digest([fingerprint, code])[:8]}"
    return Plan(method, tree, encoder, values, fingerprint, code, place, stands_on)


def row_code(method: str, encoder: str) -> Code:
    """What a row runs: the method's class and those of the methods that it stands on, training, features and both probes."""
    stood_on = tuple(donors(method).values())
    encoders = (encoder, *(method_class(donor).recipe.backbone.name for donor in stood_on))
    return code_of(*map(class_root, (method, *stood_on)), *RUNS, cut=_cut({kind_of(name) for name in encoders}))


def code_digest(method: str, encoder: str) -> str:
    return row_code(method, encoder).digest


def _cut(kinds: Collection[str]) -> Cut:
    """Of the encoders' classes those of these kinds alone are followed."""
    return CUT | {BUILD: tuple(cls for other, classes in ENCODERS.items() if other not in kinds for cls in classes)}


def stale(rows: Iterable[Row]) -> set[tuple[str, str]]:
    """(budget, method) of the rows that were made by other code than today's; of a bug, too: it may be mended."""
    return {row.name for row in rows if row.method not in TABLE or code_digest(row.method, row.encoder) != row.code}
