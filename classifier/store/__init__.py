"""The database: its tables, migrations, and one module of functions for each aggregate."""
