"""Synthetic faces with exact landmarks and parsing maps, for demos and tests without any data set."""
