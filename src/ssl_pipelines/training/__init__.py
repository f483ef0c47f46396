"""The one loop, its optimizers and schedules, checkpoints, and the watch over collapse and NaN."""
