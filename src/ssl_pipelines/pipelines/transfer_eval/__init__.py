"""The encoder on other data sets."""
