"""Pure functions of tensors, each with its paper and its oracle."""
