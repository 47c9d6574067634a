"""The database: tables, reads, writes and migrations."""
