"""From uint8 pixels to the views of a plan, all images of a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.color import apply_color
from ssl_pipelines.views.draw import Draw, draw
from ssl_pipelines.views.geometry import blur_matrix, resize_matrix
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe
from ssl_pipelines.views.randomness import generator


def make_views(images: Tensor, ids: Tensor, plan: ViewPlan, seed: int, step: int, rows: slice, batch_size: int) -> Batch:
    """images (B, S, S, C) uint8 on the training device -> the plan's views; `rows` says which of the global batch of `batch_size` these are.

    Targets: "<group>_box" (V, B, 5): top, left, height, width in px of the source, and 1 where mirrored."""
    source = images.permute(0, 3, 1, 2).float() / 255  # (B, C, S, S)
    height, width = source.shape[2:]
    views, targets = {}, {}
    for name, group in plan.groups.items():
        assert group.size is not None, "resolve the plan first"
        random = generator(seed, f"views/{name}", step)
        drawn = [draw(group.recipe, batch_size, height, width, random).rows(rows, images.device) for _ in range(group.count)]
        views[name] = torch.stack([render(source, one, group.recipe, group.size) for one in drawn])  # (V, B, C, size, size)
        targets[f"{name}_box"] = torch.stack([torch.cat([one.box, one.flip.float().unsqueeze(1)], dim=1) for one in drawn])
    return Batch(views, targets, ids)


def render(source: Tensor, drawn: Draw, recipe: ViewRecipe, size: int) -> Tensor:
    """(B, C, H, W) in [0, 1] and the numbers drawn for it -> (B, C, size, size) in [0, 1]."""
    top, left, height, width = drawn.box.unbind(1)
    beyond = recipe.crop == "padded"
    down = resize_matrix(top, height, source.shape[2], size, beyond=beyond)
    across = resize_matrix(left, width, source.shape[3], size, drawn.flip, beyond=beyond)
    x = separable(source, down, across)
    if recipe.jitter or recipe.grayscale:
        x = apply_color(x, drawn)
    if recipe.blur:
        blur = blur_matrix(drawn.sigma, size)
        x = separable(x, blur, blur)
    if recipe.solarize:
        hit = drawn.solarize.view(-1, 1, 1, 1) & (x >= recipe.solarize_threshold)
        x = torch.where(hit, 1 - x, x)
    return x


def separable(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """(B, C, H, W), (B, h, H), (B, w, W) -> (B, C, h, w): one linear map an axis and image."""
    return torch.matmul(torch.matmul(down.unsqueeze(1), images), across.unsqueeze(1).transpose(2, 3))
