"""The one loop, its optimisers and schedules, checkpoints, and the watch over collapse and NaN."""
