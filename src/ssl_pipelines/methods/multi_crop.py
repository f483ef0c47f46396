"""Small crops beside large ones: how large they are where the user has not said. Caron et al. 2020 (SwAV), arXiv:2006.09882, section 3.2."""

from __future__ import annotations

from typing import ClassVar

from ssl_pipelines.methods.config import MethodConfig
from ssl_pipelines.networks.config import fitting_patch_size
from ssl_pipelines.views import plan
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe


class MultiCropConfig(MethodConfig):
    """The block of a method whose group "local" has small crops, as many as the user likes, by default `local_size` of the others."""

    free_counts = ("local",)
    least_local: ClassVar[int] = 24  # px; less shows little of images as small as CIFAR's

    def resolved_views(self, store_size: int) -> ViewPlan:
        views = super().resolved_views(store_size)
        if "local" not in views.groups or self.views.groups["local"].size is not None:
            return views
        large = max(group.size or 0 for name, group in views.groups.items() if name != "local")
        local = views.groups["local"].model_copy(update={"size": local_size(large, self.least_local)})
        return views.model_copy(update={"groups": views.groups | {"local": local}})


def multi_crop(first: ViewRecipe, second: ViewRecipe | None = None, *, local: tuple[float, float], count: int) -> ViewPlan:
    """The plan of large and small crops whose small ones' size is left to `MultiCropConfig`."""
    return plan.multi_crop(first, second, local=local, count=count, size=None)  # type: ignore[arg-type]


def local_size(large: int, least: int = 0) -> int:
    """px of a small crop beside large ones: three sevenths of their side (the papers' 96 of 224), rounded up to whole patches of the
    size that a ViT has here for such images, two patches at least; not less than `least`, nor more than the large ones."""
    patch = fitting_patch_size([large])
    return min(large, max(least, patch * max(2, -(-3 * (large // patch) // 7))))
