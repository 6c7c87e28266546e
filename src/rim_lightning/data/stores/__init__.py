"""Aligned faces on disk: a store is written once and read through memory maps."""
