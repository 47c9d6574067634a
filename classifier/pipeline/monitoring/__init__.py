"""Use cases that report status and check for drift."""
