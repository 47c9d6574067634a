"""Reading articles from where they are into the database."""
