"""An evaluation as one HTML file: no script, nothing fetched, readable in light and dark."""
