"""Maths as pure functions of tensors: no state, no files, no configuration."""
