"""A folder a room, named as the user types it: pipeline.py is the wiring, nodes.py one call into the core."""
