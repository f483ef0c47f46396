"""From a pile of images to a representation that is worth having, and what it is worth."""

from ssl_pipelines.artifacts.cores import set_thread_environment

__version__ = "0.1.0"
set_thread_environment()  # libraries read it once, as they are loaded: before torch and numpy are imported
