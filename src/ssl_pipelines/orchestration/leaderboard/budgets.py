"""What every method of a board gets alike: data, images drawn, encoder, seed. The rest is the method's own recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.first_runs import trained_first
from ssl_pipelines.methods.registry import TABLE, method_class
from ssl_pipelines.networks.config import KINDS
from ssl_pipelines.networks.own import OWN

# A method that stands on a finished run gets this one's, of the same budget and the same kind of encoder.
DONORS = {"resnet": "simclr", "vit": "mae"}
# Trained for others alone.
NO_RANK = {"dvae": "it makes the codes that beit predicts, and its paper judges no representation"}
# They predict every pixel, each from those before it: an image costs them as much as many cost others.
AUTOREGRESSIVE = ("igpt", "pixelrnn")


@dataclass(frozen=True, slots=True)
class Budget:
    """`encoders`: by the kind that a method's recipe has; where none is named, the recipe's own, which is small.

    `autoregressive`: what is other in `pretrain` for those methods."""

    name: str
    title: str
    protocol: str
    pretrain: Mapping[str, Any]
    encoders: Mapping[str, str] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=lambda: {"reader": "parquet", "size": 32, "fields": "saliency"})
    blocks: Mapping[str, Any] = field(default_factory=dict)  # of other parameters: linear_eval, runtime
    seed: int = 0
    autoregressive: Mapping[str, Any] = field(default_factory=dict)

    def tree(self, method: str, data: str, upstream: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of the run. `upstream` role -> model folder."""
        own = self.autoregressive if method in AUTOREGRESSIVE else {}
        pretrain = dict(self.pretrain) | dict(own) | ({"upstream": dict(upstream)} if upstream else {})
        run = {"method": method, "backbone": self.backbone(method), "pretrain": pretrain, "seed": self.seed}
        return dict(self.blocks) | run | {"dataset": dict(self.dataset) | {"root": data}}

    def backbone(self, method: str) -> dict[str, Any]:
        own = method_class(method).recipe.backbone
        name = self.encoders.get(kind_of(own.name))
        return {"name": "auto"} if name is None else own.model_dump(mode="json") | {"name": name}

    def drawing(self, images: int) -> Self:
        """The same with another number of images: a trial, whose rows have no place beside the budget's."""
        title = f"{self.title}, but {images:,} images drawn: a trial"
        return replace(self, title=title, pretrain={"images_seen": images}, autoregressive={})


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            "cpu",
            "CPU budget: 60,000 images drawn",
            "32 px, whole batches, seed 0; resnet_small, or vit_mini where a method needs a ViT, or a network of its own (16 px). "
            "igpt and pixelrnn, which go from pixel to pixel, draw 10,000 images.",
            {"images_seen": 60_000},
            autoregressive={"images_seen": 10_000},
        ),
        Budget(
            "gpu",
            "GPU budget: 200 epochs of ResNet-18",
            "32 px, whole batches, seed 0; ResNet-18, or vit_tiny where a method needs a ViT.",
            {"epochs": 200},
            {"resnet": "resnet18", "vit": "vit_tiny"},
        ),
    )
}


def kind_of(encoder: str) -> str:
    return OWN if encoder == OWN else next((kind for kind, names in KINDS.items() if encoder in names), "timm")


def all_methods() -> list[str]:
    """Those that have a rank."""
    return [name for name in sorted(TABLE) if name not in NO_RANK and not _sees_labels(name)]


def check_method(name: str) -> None:
    """Raises InputError for a method that is unknown, or has no rank here."""
    if name in NO_RANK:
        raise InputError(f"method={name!r} has no place here: {NO_RANK[name]}")
    if _sees_labels(name):
        raise InputError(f"method={name!r} has no place among methods that saw no label: its teacher was fine-tuned on labels")


def _sees_labels(name: str) -> bool:
    return method_class(name).upstream_is == "classifier"


def donors(method: str) -> dict[str, str]:
    """role -> the method whose finished model plays it, for a method that stands on others."""
    cls = method_class(method)
    donor = DONORS.get(kind_of(cls.recipe.backbone.name), DONORS["resnet"])
    return {role: trained_first(cls).get(role, donor) for role in cls.upstream}
