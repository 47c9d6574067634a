"""Use cases that change the categories of a task, and list them."""
