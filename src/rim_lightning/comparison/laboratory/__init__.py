"""Measure trained systems; slow results are computed once and stored on disk."""
