"""How far one fused matrix is from torchvision's steps, which clamp in between and turn HSV's angle; on real photographs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torchvision.transforms.v2 import functional as tv

from ssl_pipelines.views.color import apply_color
from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.plan import SIMCLR_SMALL
from ssl_pipelines.views.randomness import generator

IMAGES, SIDE = 200, 32


def photographs() -> torch.Tensor:
    random, photos = np.random.default_rng(0), load_sample_images().images
    corners = [(photos[k % 2], random.integers(0, 427 - SIDE), random.integers(0, 640 - SIDE)) for k in range(IMAGES)]
    crops = np.stack([photo[top : top + SIDE, left : left + SIDE] for photo, top, left in corners])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(("hue", "levels"), [(0.0, 0.5), (0.1, 8.0)])
def test_the_distance_is_what_the_documentation_says(hue, levels):
    x = photographs()
    drawn = draw(SIMCLR_SMALL.model_copy(update={"jitter": 1.0, "grayscale": 0.0}), IMAGES, SIDE, SIDE, generator(0, "colors"))
    drawn = drawn if hue else replace(drawn, hue=torch.zeros(IMAGES))
    theirs = []
    for row, image in enumerate(x):
        steps = [
            (tv.adjust_brightness, drawn.brightness),
            (tv.adjust_contrast, drawn.contrast),
            (tv.adjust_saturation, drawn.saturation),
            (tv.adjust_hue, drawn.hue),
        ]
        for adjust, factors in (steps[kind] for kind in drawn.order[row].tolist()):
            image = image if adjust is tv.adjust_hue and not hue else adjust(image, float(factors[row]))
        theirs.append(image)
    apart = (apply_color(x, drawn) - torch.stack(theirs)).abs().mean() * 255
    changed = (torch.stack(theirs) - x).abs().mean() * 255
    assert apart < levels
    assert changed > 2.5 * apart
