"""Views a second: SimCLR's recipe at 32 and 96 px against kornia's batched transforms and lightly's, image by image."""

from __future__ import annotations

import torch
from kornia import augmentation as kornia
from lightly.transforms import SimCLRTransform
from PIL import Image

from benchmarks.measure import Bar, Row, rate, row, turns
from benchmarks.photos import crops
from ssl_pipelines.views import ViewGroup, ViewPlan, ViewRecipe, make_views
from ssl_pipelines.views.plan import SIMCLR_SMALL

BARS = {
    "views32_kornia": Bar("views32_kornia", 4.0),
    "views32_lightly": Bar("views32_lightly", 15.0),
    "views96_kornia": Bar("views96_kornia", 4.0),
    "views96_lightly": Bar("views96_lightly", 4.0),
}
BLUR = 0.5  # at 96 px, as in the paper; at 32 px the authors leave it out
SIGMA = (0.1, 2.0)


def recipe(size: int) -> ViewRecipe:
    return SIMCLR_SMALL if size == 32 else SIMCLR_SMALL.model_copy(update={"blur": BLUR, "blur_sigma": SIGMA})


def kernel(size: int) -> int:
    return 2 * max(1, round(0.05 * size)) + 1  # ours reaches as far


def measure(size: int, count: int) -> list[Row]:
    images = torch.from_numpy(crops(count, size))
    ids, plan = torch.arange(count), ViewPlan(groups={"global": ViewGroup(recipe=recipe(size), count=2)}).resolved(size)
    batched = [
        kornia.RandomResizedCrop((size, size), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        kornia.RandomGrayscale(p=0.2),
    ]
    if recipe(size).blur:
        batched.append(kornia.RandomGaussianBlur((kernel(size),) * 2, SIGMA, p=BLUR))
    theirs = kornia.AugmentationSequential(*batched, data_keys=["input"])
    lightly = SimCLRTransform(input_size=size, cj_strength=0.5, gaussian_blur=recipe(size).blur, sigmas=SIGMA, normalize=None)
    step = iter(range(10**9))

    def ours() -> None:
        make_views(images, ids, plan, 0, next(step), slice(0, count), count)

    @torch.no_grad()
    def by_kornia() -> None:
        pixels = images.permute(0, 3, 1, 2).float() / 255
        for _ in range(2):
            theirs(pixels)

    def by_lightly() -> None:
        for image in some:
            lightly(image)

    some = [Image.fromarray(image.numpy()) for image in images[: count // 4]]
    found = turns({"ours": rate(ours, 2 * count), "kornia": rate(by_kornia, 2 * count), "lightly": rate(by_lightly, 2 * len(some))})
    return [
        row(BARS[f"views{size}_{peer}"], found["ours"], found[peer], f"{size} px, batch {count}", "views/s")
        for peer in ("kornia", "lightly")
    ]


def run(quick: bool) -> list[Row]:
    return measure(32, 512) + measure(96, 128 if quick else 512)
