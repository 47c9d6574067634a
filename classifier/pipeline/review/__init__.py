"""Use cases of the review loop: the queue, sheets, annotations and conflicts."""
