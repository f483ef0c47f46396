"""One file a method, one interface for all."""
