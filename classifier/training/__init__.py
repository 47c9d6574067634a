"""Fitting a classifier to annotated articles."""
