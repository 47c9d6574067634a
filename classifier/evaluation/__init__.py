"""Measuring a classifier on articles it has not seen."""
