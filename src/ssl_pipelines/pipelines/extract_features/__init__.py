"""Frozen features of the trained encoder, of random ones, and raw pixels."""
