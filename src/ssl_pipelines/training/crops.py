"""Logs, before the first step, by how much crops are enlarged on average."""

from __future__ import annotations

import logging

from ssl_pipelines.data import Store
from ssl_pipelines.views.enlargement import mean_enlargement
from ssl_pipelines.views.plan import ViewPlan

log = logging.getLogger("ssl_pipelines")
VISIBLE = 1.005  # smallest enlargement that is logged: a smaller one would be printed as 1.00


def say_enlargement(plan: ViewPlan, store: Store) -> float:
    """Returns and logs the mean enlargement of the plan's views; warns where a larger `dataset.stored_size` would lessen it."""
    mean = mean_enlargement(plan, store.size) * store.about.get("enlarged", 1.0)
    if mean < VISIBLE:
        return mean
    text = f"pretrain: crops are enlarged {mean:.2f} times on average"
    side = store.about.get("source_side", store.size)
    if side > store.size:
        log.warning(f"{text}; sources have {side:,.0f} px where {store.size:,} are stored: raise dataset.stored_size")
    else:
        log.info(f"{text}; sources have no more pixels than the {store.size:,} that are stored")
    return mean
