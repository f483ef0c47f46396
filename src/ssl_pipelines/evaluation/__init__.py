"""What a representation is worth: features, linear probe, nearest neighbors, fine-tuning, each beside its baselines."""
