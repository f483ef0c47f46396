"""The registry's gate."""
