"""From uint8 pixels to the views of a plan, all images of a batch at once."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ssl_pipelines.views.background import Layers, composed
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.color import apply_color
from ssl_pipelines.views.draw import Draw, draw
from ssl_pipelines.views.geometry import blur_matrix, resize_matrix, rotate, sample
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe
from ssl_pipelines.views.randomness import generator


def make_views(
    images: Tensor, ids: Tensor, plan: ViewPlan, seed: int, step: int, rows: slice, batch_size: int, layers: Layers | None = None
) -> Batch:
    """images (B, S, S, C) uint8 on the training device -> the plan's views; `rows` says which of the global batch of `batch_size` these are.

    `layers`: what the plan's backgrounds are made from. Targets: "<group>_counts" (1, B): this view is a swap that counts;
    "<group>_box" (V, B, 5): top, left, height, width in px of the source, and 1 where mirrored."""
    source = images.permute(0, 3, 1, 2).float() / 255  # (B, C, S, S)
    height, width = source.shape[2:]
    views: dict[str, Tensor] = {}
    targets: dict[str, Tensor] = {}
    scene = None if layers is None else composed(source, layers, plan, seed, step, rows, batch_size)
    if scene is not None:
        targets |= {f"{name}_counts": counts.unsqueeze(0) for name, counts in scene.swapped.items()}
    for name, group in plan.groups.items():
        assert group.size is not None, "resolve the plan first"
        origin = group.same_as or name
        side, random = plan.groups[origin].size or 0, generator(seed, f"views/{origin}", step)
        recipe = in_source_pixels(plan.groups[origin].recipe, height, side)
        of = {"size": side, "channels": source.shape[1]}
        drawn = [draw(recipe, batch_size, height, width, random, **of).rows(rows, images.device) for _ in range(group.count)]
        if plan.groups[origin].shared_flip:
            drawn = [replace(one, flip=drawn[0].flip) for one in drawn]
        if group.same_as:  # blur, noise and holes were drawn in px of another size, so they are left out
            recipe = recipe.model_copy(update={"blur": 0.0, "noise": 0.0, "erase": 0.0})
        seen = [source] * group.count if scene is None else scene.images[origin]
        views[name] = torch.stack(  # (V, B, C, size, size)
            [
                render(image, one, recipe, group.size, cubic=plan.is_cubic(group.size))
                for image, one in zip(seen, drawn, strict=True)
            ]
        )
        targets[f"{name}_box"] = torch.stack([torch.cat([one.box, one.flip.float().unsqueeze(1)], dim=1) for one in drawn])
    return Batch(views, targets, ids)


def in_source_pixels(recipe: ViewRecipe, source: int, size: int) -> ViewRecipe:
    """The recipe for a source of `source` px whose view has `size`: padding is px of the view, and boxes are drawn in the source."""
    if recipe.crop != "padded" or source == size:
        return recipe
    return recipe.model_copy(update={"padding": round(recipe.padding * source / size)})


def render(source: Tensor, drawn: Draw, recipe: ViewRecipe, size: int, *, cubic: bool = False) -> Tensor:
    """(B, C, H, W) in [0, 1], float32 or bfloat16, and the numbers drawn for it -> (B, C, size, size) in [0, 1] of that type.

    `cubic`: crops are resized bicubically, else bilinearly; both antialiased where they are shrunk."""
    beyond = recipe.crop == "padded"
    if recipe.crop == "none" and source.shape[2:] == (size, size):
        x = torch.where(drawn.flip.view(-1, 1, 1, 1), source.flip(3), source) if recipe.flip else source
    elif size >= max(source.shape[2:]) and not cubic:  # no crop is shrunk
        x = sample(source, drawn.box, drawn.flip, size, beyond=beyond)
    else:
        top, left, height, width = drawn.box.unbind(1)
        down = resize_matrix(top, height, source.shape[2], size, beyond=beyond, cubic=cubic)
        across = resize_matrix(left, width, source.shape[3], size, drawn.flip, beyond=beyond, cubic=cubic)
        x = separable(source, down, across)
        x = x.clamp(0, 1) if cubic else x  # negative weights overshoot
    if recipe.rotation:
        x = rotate(x, drawn.angle)
    if recipe.jitter or recipe.grayscale:
        x = apply_color(x, drawn)
    if recipe.blur:
        x = blurred(x, drawn.sigma)
    if recipe.solarize:
        hit = drawn.solarize.view(-1, 1, 1, 1) & (x >= recipe.solarize_threshold)
        x = torch.where(hit, 1 - x, x)
    if recipe.noise:
        x = (x + drawn.noise.to(x.dtype)).clamp(0, 1)
    if recipe.erase:
        x = torch.where(inside(drawn.hole, size).unsqueeze(1), recipe.erase_value, x)
    return x


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """(B, C, S, S) by (B,) sigma in px. On CPU only the images with a blur are computed; elsewhere all are, since asking which have
    one would wait for the device."""
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        blur = blur_matrix(sigma, images.shape[-1])
        return separable(images, blur, blur)
    hit = (sigma > 0).nonzero().squeeze(1)
    blur = blur_matrix(sigma[hit], images.shape[-1])
    return images.index_copy(0, hit, separable(images[hit], blur, blur))


def inside(box: Tensor, size: int) -> Tensor:
    """(B, 4) boxes in whole px -> (B, size, size) bool."""
    top, left, height, width = (side.unsqueeze(1) for side in box.unbind(1))
    step = torch.arange(size, device=box.device)
    rows, columns = (step >= top) & (step < top + height), (step >= left) & (step < left + width)  # (B, size)
    return rows.unsqueeze(2) & columns.unsqueeze(1)


def separable(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """(B, C, H, W), (B, h, H), (B, w, W) -> (B, C, h, w): one linear map an axis and image."""
    down, across = down.to(images.dtype), across.to(images.dtype)
    return torch.matmul(torch.matmul(down.unsqueeze(1), images), across.unsqueeze(1).transpose(2, 3))
