"""Weighted nearest neighbors on frozen features."""
