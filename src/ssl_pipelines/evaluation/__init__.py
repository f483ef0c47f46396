"""Evaluation of representations: features, linear probe, nearest neighbors, fine-tuning, each beside its baselines."""
