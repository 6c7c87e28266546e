"""Aligned faces on disk: a store is written once and read one face at a time."""
