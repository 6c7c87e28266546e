"""Measure trained systems; whatever is slow is computed once and kept on disk."""
