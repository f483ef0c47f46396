"""From a pile of images to a representation that is worth having, and what it is worth."""

__version__ = "0.1.0"
