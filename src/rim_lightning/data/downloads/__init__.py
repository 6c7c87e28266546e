"""Data sets from the network: files that are received, checked, unpacked and put where the readers expect them."""
