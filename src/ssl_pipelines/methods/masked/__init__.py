"""Methods that predict the masked part of an image."""
