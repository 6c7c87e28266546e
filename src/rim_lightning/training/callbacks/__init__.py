"""Callbacks of a training run: moving average, last checkpoint, speed, W&B."""
