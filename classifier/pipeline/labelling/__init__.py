"""Use cases that label articles and count labels."""
