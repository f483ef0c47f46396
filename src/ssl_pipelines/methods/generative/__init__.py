"""Models of the images themselves."""
