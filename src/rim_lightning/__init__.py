"""Resolution Invariant Model (RIM, arXiv 1905.10777): cross-resolution face recognition."""

__version__ = "0.1.0"
