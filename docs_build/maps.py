"""The last feature map of the methods whose tasks go over its places, measured on encoders built as a run builds them."""

from __future__ import annotations

from docs_build.markup import table
from ssl_pipelines.methods.registry import FEWEST_PLACES, MAPS_FOLLOW
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.training.config import RunConfig

SIZES = (32, 96, 224)  # px of the views
OWN_PIECES = "exemplar"  # the method that trains its encoder on seeds cut from the views
METHODS = sorted([*FEWEST_PLACES, *MAPS_FOLLOW, OWN_PIECES])


def last_map(name: str, size: int, encoder: str = "auto") -> tuple[int, int]:
    """(places a side of the last map, px a side of what the encoder trains on) for views of `size` px and color images."""
    run = RunConfig.resolve({"method": name, "backbone": {"name": encoder}, "pretrain": {"images_seen": 1}}, size)
    side = run.method_config.trained_on(size)
    return map_shape(build_encoder(run.backbone, 3, size), side)[1], side


def map_sizes() -> str:
    """A row a method, a column a size of views; with the method's own encoder."""
    rows = [(f"`{name}`", *(_cell(*last_map(name, size), size) for size in SIZES)) for name in METHODS]
    return table(("method", *(f"views of {size} px" for size in SIZES)), rows)


def _cell(places: int, side: int, size: int) -> str:
    piece = "" if side == size else f", of a seed of {side} px"
    return f"{places} x {places}{piece}"
