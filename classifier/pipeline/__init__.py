"""The use cases, one a module. The command line and the DAGs call them.

A use case owns its transactions: it commits its work and returns a frozen report, which the caller prints.
"""
