"""Use cases that bring articles into the database."""
