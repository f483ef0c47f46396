"""Methods that group images and learn from the groups."""
