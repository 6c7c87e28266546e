"""What stands beside every verdict, of commands, page and Python alike. Imports no torch, so that `--help` is quick."""

from typing import NamedTuple

DEFAULT_FAR = 1e-3
"""False accept rate of everything that decides, unless the user chooses another one. There is no second default."""

BICUBIC_PROBES = "bicubic"
"""How the probes of calibrations are made whose card does not say it."""


class CalibrationSet(NamedTuple):
    """The set of people whom thresholds and error rates come from.

    Attributes:
        name: Name of the set, with its split.
        people: Number of people.
        faces: "photographs", "synthetic", or "not stated" (a card of an earlier version).
        probes: How the probes were made of them, in words.
    """

    name: str
    people: int
    faces: str
    probes: str = BICUBIC_PROBES

    def in_words(self) -> str:
        """Return the set in words.

        Example:
            >>> CalibrationSet("synthetic_64, val", 40, "synthetic").in_words()
            '40 synthetic people (synthetic_64, val)'
            >>> CalibrationSet("celeba_128, val", 34, "photographs").in_words()
            'photographs of 34 people (celeba_128, val)'
            >>> CalibrationSet("mine, val", 9, "not stated").in_words()
            '9 people (mine, val; the card does not say whether they are photographs)'
            >>> CalibrationSet("celeba_128, val", 34, "photographs", "camera").in_words()
            'photographs of 34 people (celeba_128, val), probes made by camera'
        """
        made = "" if self.probes == BICUBIC_PROBES else f", probes made by {self.probes}"
        if self.faces == "synthetic":
            return f"{self.people} synthetic people ({self.name}){made}"
        if self.faces == "photographs":
            return f"photographs of {self.people} people ({self.name}){made}"
        return f"{self.people} people ({self.name}; the card does not say whether they are photographs){made}"


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


def unsharp(gallery_size: float, sharp_size: float) -> str | None:
    """Return a warning if a gallery face is not sharp, so that the stated error rates do not hold for it.

    Args:
        gallery_size: Side of the gallery face in pixels.
        sharp_size: Side from which on a face is sharp.

    Example:
        >>> unsharp(20.4, 64)
        'the gallery face has 20 px: the rates below are those of sharp ones, of 64 px or more'
    """
    if gallery_size >= sharp_size:
        return None
    return (
        f"the gallery face has {gallery_size:.0f} px: the rates below are those of sharp ones, of {sharp_size:.0f} px "
        "or more"
    )


def at_far(far: float) -> str:
    """Return the false accept rate of a verdict in words.

    Args:
        far: False accept rate.

    Example:
        >>> at_far(1e-4)
        'at a FAR of 0.0001'
    """
    return f"at a FAR of {far:g}"
