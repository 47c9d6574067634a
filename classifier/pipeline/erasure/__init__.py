"""Erase articles everywhere, and keep them out of later ingests."""
