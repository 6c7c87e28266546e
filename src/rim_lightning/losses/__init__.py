"""Losses as modules that return their unweighted terms; the weights come from the configuration."""
