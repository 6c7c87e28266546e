"""The commands `rim` and `rim-…`: each reads its command line and calls one function of a wing."""
