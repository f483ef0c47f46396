"""The self-supervised training."""
