"""Read articles from files, feeds and databases, validate them, and assign them to splits."""
