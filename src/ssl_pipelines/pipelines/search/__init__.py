"""The search tool."""
