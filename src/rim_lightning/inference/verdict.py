"""What stands beside every verdict, of commands, page and Python alike. Imports nothing, so that `--help` is quick."""

DEFAULT_FAR = 1e-3
"""False accept rate of everything that decides, unless the user chooses another one. There is no second default."""


def verdict(same_person: bool, far: float) -> str:
    """Return the answer to the question whether two pictures show one person.

    Args:
        same_person: The answer.
        far: False accept rate that it holds for.

    Returns:
        The answer in words, with the false accept rate.

    Example:
        >>> verdict(False, 1e-3)
        'not the same person, at a FAR of 0.001'
    """
    return f"{'the same person' if same_person else 'not the same person'}, {at_far(far)}"


def at_far(far: float) -> str:
    """Return the false accept rate of a verdict in words.

    Args:
        far: False accept rate.

    Example:
        >>> at_far(1e-4)
        'at a FAR of 0.0001'
    """
    return f"at a FAR of {far:g}"
