"""Measure a trained RIM on sets of faces and pairs: one stack for rim-eval, rim-compare and validation."""
