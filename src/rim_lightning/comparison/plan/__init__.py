"""Decide which training runs the systems need, and train those that are missing."""
