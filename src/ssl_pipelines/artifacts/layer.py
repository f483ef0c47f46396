"""The name of the eval layer that every method has."""

FINAL = "final"  # what `encode` gives by itself
