"""Few labels, and whether pretraining is worth it: shares of the labels and n a class, drawn many times."""
