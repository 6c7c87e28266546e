"""Faces from files to batches: decoding, detection, alignment, prepared stores, and data sets that read them."""
