"""A run on disk: its files, how it ended, and many runs as one sweep."""
