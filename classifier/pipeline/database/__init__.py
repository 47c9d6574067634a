"""Use cases of the database itself: its schema and its roles."""
