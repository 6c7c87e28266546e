"""The output head of the ArcFace family: batch norm, dropout, one linear map of the whole last stage, batch norm."""

from torch import nn


def embedding_head(channels: int, size: int, embedding_size: int, dropout: float) -> nn.Sequential:
    """Head from the last stage (B, channels, size, size) to the embedding (B, embedding_size), NOT normalized.

    The linear map has no bias: the batch norm after it removes any constant (loaders fold a published bias into the
    running mean).
    """
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(channels * size * size, embedding_size, bias=False),
        nn.BatchNorm1d(embedding_size),
    )
