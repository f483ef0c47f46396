"""The training loop, optimizers and schedules, checkpoints, and the monitor that ends a run at collapse or NaN."""
