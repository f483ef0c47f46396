"""What the representation is like: alignment, ranks, spectrum, invariances."""
