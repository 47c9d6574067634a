"""The parts of the review that need no database and no model: the selection of articles, and the sheet."""
