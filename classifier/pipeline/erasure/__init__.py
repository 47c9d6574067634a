"""The way back: erase articles everywhere, undo an ingest, and retract annotations."""
