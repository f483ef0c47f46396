"""Encoders, heads, decoders and norms."""
