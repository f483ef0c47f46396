"""torchvision's image classification datasets, and what each calls its splits."""

from __future__ import annotations

from typing import Any

Arguments = dict[str, Any]


def _flag(**more: Any) -> dict[str | None, Arguments]:
    return {"train": {"train": True, **more}, "test": {"train": False, **more}}


def _named(*, train: str = "train", validation: str | None = None, test: str | None = "test", unlabeled: str | None = None) -> Any:
    names = {"train": train, "validation": validation, "test": test, "unlabeled": unlabeled}
    return {split: {"split": name} for split, name in names.items() if name is not None}


# class -> {split here: arguments of the class}; None: the source has no splits
TORCHVISION: dict[str, dict[str | None, Arguments]] = {
    "CIFAR10": _flag(),
    "CIFAR100": _flag(),
    "Caltech101": {None: {}},
    "Caltech256": {None: {}},
    "Country211": _named(validation="valid"),
    "DTD": _named(validation="val"),
    "EMNIST": {split: {"split": "balanced", **arguments} for split, arguments in _flag().items()},
    "EuroSAT": {None: {}},
    "FGVCAircraft": _named(validation="val"),
    "FashionMNIST": _flag(),
    "Flowers102": _named(validation="val"),
    "Food101": _named(),
    "GTSRB": _named(),
    "Imagenette": _named(validation="val", test=None),
    "KMNIST": _flag(),
    "MNIST": _flag(),
    "OxfordIIITPet": _named(train="trainval"),
    "PCAM": _named(validation="val"),
    "QMNIST": _flag(),
    "RenderedSST2": _named(validation="val"),
    "SEMEION": {None: {}},
    "STL10": _named(unlabeled="unlabeled"),
    "SUN397": {None: {}},
    "SVHN": _named(),
    "USPS": _flag(),
}
