"""What the stages hand to each other: artifacts on disk, whole or not at all, with a record of what they were made from."""

from ssl_pipelines.artifacts.config import Config
from ssl_pipelines.artifacts.errors import InputError
from ssl_pipelines.artifacts.files import new_file, new_folder, read_json, write_json
from ssl_pipelines.artifacts.record import Artifact, Record

__all__ = ["Artifact", "Config", "InputError", "Record", "new_file", "new_folder", "read_json", "write_json"]
