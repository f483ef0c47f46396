"""The whole encoder trained on the labels, against the same network from scratch."""
