"""Methods that group images, and learn the groups."""
