"""Finished models, wherever they lie: found by what the user names, with what is known of their scores."""
