"""How much the crops of a plan are enlarged: above 1 on average, the network sees interpolated pixels."""

from __future__ import annotations

from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.engine import in_source_pixels
from ssl_pipelines.views.plan import ViewPlan
from ssl_pipelines.views.randomness import generator

DRAWN = 4096  # boxes of each group


def mean_enlargement(plan: ViewPlan, side: int) -> float:
    """The mean, over the views of a resolved plan, of a view's side over that of its crop, cut from a stored square of `side` px.

    An oblong crop's side is the root of its area. A fixed draw: the same for the same plan and side."""
    total = views = 0.0
    for name, group in plan.groups.items():
        if group.same_as is not None or group.size is None:
            continue
        recipe = in_source_pixels(group.recipe, side, group.size)
        box = draw(recipe, DRAWN, side, side, generator(0, f"enlargement/{name}", 0)).box
        total += group.count * float((group.size / box[:, 2:].prod(1).sqrt()).mean())
        views += group.count
    return total / views if views else 1.0
