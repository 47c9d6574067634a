"""Use cases that train, tune or import a candidate model."""
