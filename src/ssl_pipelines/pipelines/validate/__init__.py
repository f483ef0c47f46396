"""The gate: what the store must be before anything trains on it."""
