"""The embed tool."""
