"""Compute probabilities for texts: the engines, their batch sizes, and the labeller that tokenizes and batches."""
