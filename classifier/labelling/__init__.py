"""Giving articles their predictions, in bulk."""
