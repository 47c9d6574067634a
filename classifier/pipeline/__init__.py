"""The use cases, one a module: what the command line and the DAGs call.

They own the transactions: each commits what it did, and returns a frozen report for somebody else to
print.
"""
