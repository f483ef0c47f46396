"""Embeddings of any images by a finished model."""
