"""Finished models on anybody's images: embeddings, and which images are alike."""
