"""The face hallucination network of RIM and its domain discriminator."""
