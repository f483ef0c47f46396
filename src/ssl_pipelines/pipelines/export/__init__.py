"""The encoder for other programs."""
