"""Whole batches of augmented views, made on the training device from uint8 pixels."""

from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.engine import make_views
from ssl_pipelines.views.plain import plain_view
from ssl_pipelines.views.plan import ViewGroup, ViewPlan, ViewRecipe, one_view, two_views

__all__ = ["Batch", "ViewGroup", "ViewPlan", "ViewRecipe", "make_views", "one_view", "plain_view", "two_views"]
