"""Probes of an evaluation: every face has its own seed, so that every system sees the same probes."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.functional.camera import camera_probe, seeded_draws
from rim_lightning.functional.degradation import realistic_reduce, synthesize_probe
from rim_lightning.functional.misalignment import moved, seeded_moves
from rim_lightning.functional.resize import area_reduce, enlarge

REDUCTIONS = ("bicubic", "area", "realistic", "camera")
"""Ways of making the probes of an evaluation."""


class ProbeKind(NamedTuple):
    """How the probes of an evaluation are made.

    Attributes:
        degradation: "bicubic"; "area", the mean over the area of each pixel; "realistic" with blur, noise and JPEG; or
            "camera", all of them degraded, see `functional.camera`.
        misalignment: None for aligned probes; "detector" moves every probe by an error of the size of a detector's.
    """

    degradation: str = "bicubic"
    misalignment: str | None = None

    def in_words(self) -> str:
        """Return the kind in words.

        Example:
            >>> ProbeKind("camera", "detector").in_words()
            "camera, moved as by a detector's points"
        """
        return self.degradation + ("" if self.misalignment is None else ", moved as by a detector's points")


CLEAN = ProbeKind()
"""Bicubic, aligned probes."""


def check_probe_kind(kind: ProbeKind) -> None:
    """Refuse a way of making probes that is unknown.

    Raises:
        ValueError: If the degradation or the misalignment is unknown.
    """
    if kind.degradation not in REDUCTIONS:
        raise ValueError(f'There is no degradation "{kind.degradation}"; choose from {", ".join(REDUCTIONS)}.')
    if kind.misalignment not in (None, "detector"):
        raise ValueError(f'There is no misalignment "{kind.misalignment}" of an evaluation; choose null or detector.')


def picture_digest(picture: Tensor) -> bytes:
    """Return 16 bytes of the SHA-256 of the pixels of a picture, which name it.

    Args:
        picture: (3, S, S) uint8, on the CPU.
    """
    return hashlib.sha256(picture.numpy().tobytes()).digest()[:16]


def digest_seed(digest: bytes) -> int:
    """Return the seed of the probes of a picture: the same in every set that has its pixels.

    Args:
        digest: What `picture_digest` returned.
    """
    return int.from_bytes(digest[:6], "big")


def seeded_probes(hr: Tensor, size: int, kind: ProbeKind, seeds: Sequence[int]) -> Tensor:
    """Make probes of one size, each from its own seed, and enlarge them back.

    Args:
        hr: Sharp faces, (B, 3, S, S), RGB in [-1, 1].
        size: Side of the probes in pixels.
        kind: How they are made.
        seeds: One seed per face, for what is random. A face with the same seed has the same probe in any batch.

    Returns:
        (B, 3, S, S), RGB in [-1, 1], on the 8-bit grid.

    Raises:
        ValueError: If the kind is unknown, or the number of seeds is not that of the faces.
    """
    check_probe_kind(kind)
    if len(seeds) != len(hr):
        raise ValueError(f"One seed per face: {len(seeds)} seeds for {len(hr)} faces.")
    sizes = torch.full((len(hr),), size)
    if kind.misalignment is not None:
        hr = moved(hr, seeded_moves(sizes, kind.misalignment, seeds))
    if kind.degradation == "camera":
        return camera_probe(hr, sizes, seeded_draws(seeds))
    if kind.degradation == "realistic":
        singles = zip(hr.split(1), seeds, strict=True)
        low = [realistic_reduce(face, size, torch.Generator().manual_seed(seed)) for face, seed in singles]
        return enlarge(torch.cat(low), hr.shape[-1])
    return synthesize_probe(hr, sizes, area_reduce) if kind.degradation == "area" else synthesize_probe(hr, sizes)
