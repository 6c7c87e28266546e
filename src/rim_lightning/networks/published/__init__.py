"""Readers of weight files that other projects published."""
