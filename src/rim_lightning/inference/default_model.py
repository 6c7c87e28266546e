"""The trained model that comes with the package. Imports no torch, so that `--help` is quick."""

from pathlib import Path

from rim_lightning.inference.card import CARD, CARD_DIGEST

SHIPPED = Path(__file__).parent / "shipped" / "rim_128"
"""Model folder in the package. The path is there only in versions that come with a model."""


def shipped_model() -> Path | None:
    """Return the model folder that comes with the package; None if this version comes without one.

    Raises:
        ValueError: If the folder lacks the digest of its card, so that nothing tells whether it was changed.
    """
    if not SHIPPED.is_dir():
        return None
    if not (SHIPPED / CARD_DIGEST).is_file():
        raise ValueError(f"The model of the package lacks {CARD_DIGEST}: install the package again, or give a model.")
    return SHIPPED


def names_model(path: Path) -> bool:
    """Return True for a model folder, a checkpoint, and the name of the model of the package, "rim_128".

    Example:
        >>> [names_model(Path(name)) for name in ("rim_128", "outputs/mine/checkpoints/last.ckpt", "scores.csv")]
        [True, True, False]
    """
    return (path / CARD).is_file() or path.suffix == ".ckpt" or _is_shipped_name(path)


def _is_shipped_name(path: str | Path) -> bool:
    return str(path) == SHIPPED.name and not Path(path).exists()


def model_or_shipped(path: str | Path | None) -> Path:
    """Return a path that was given, or the model that comes with the package.

    Args:
        path: Model folder or checkpoint. None takes the model of the package, and so does its name, "rim_128", where
            there is no file or folder of that name.

    Returns:
        The path of the model.

    Raises:
        FileNotFoundError: If there is no path and this version comes without a model.
        ValueError: See `shipped_model`.
    """
    by_name = path is None or _is_shipped_name(path)
    chosen = shipped_model() if by_name else Path(path)  # type: ignore[arg-type]  # a path unless by name
    if chosen is None:
        raise FileNotFoundError(
            "This version of the package comes without a model: give a model folder or a checkpoint (rim export makes "
            "a model folder)."
        )
    return chosen
