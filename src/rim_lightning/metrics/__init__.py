"""Metrics that count every sample once, on one process and on many."""
