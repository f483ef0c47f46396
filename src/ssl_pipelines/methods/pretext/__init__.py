"""Methods that solve a puzzle made from the image itself."""
