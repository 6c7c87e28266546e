"""Readers of published data sets: each lists the images of one layout of files with their labels."""
