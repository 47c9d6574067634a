"""The command line: it reads options, calls a use case, and prints what came of it."""
