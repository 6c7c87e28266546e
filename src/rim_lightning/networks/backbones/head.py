"""The output head of the ArcFace family: batch norm, dropout, one linear map of the whole last stage, batch norm."""

from torch import nn


def embedding_head(channels: int, size: int, embedding_size: int, dropout: float, affine: bool = True) -> nn.Sequential:
    """Build a head that maps the last stage (B, channels, size, size) to embeddings (B, embedding_size).

    The linear map has no bias, because the batch norm after it removes any constant. The readers of published weights
    fold a bias into the running mean.

    Args:
        channels: Channels of the last stage map.
        size: Side of the last stage map in pixels.
        embedding_size: Length of the embedding, which is not normalized.
        dropout: Probability of dropout while training.
        affine: The last norm has a scale and a shift.

    Returns:
        The head.
    """
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(channels * size * size, embedding_size, bias=False),
        nn.BatchNorm1d(embedding_size, affine=affine),
    )
