"""A look at a few pictures that are said to be aligned faces: whole photographs would become templates of nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rim_lightning.data.detection import find_faces
from rim_lightning.data.images import read_image
from rim_lightning.inference.faces import FaceAligner

LOOKED_AT = 12
"""Number of pictures that are looked at: about a second."""

ENOUGH = 3
"""Number of faces from which on their median decides."""

NEAR = (0.7, 1.3)
"""Side of the aligned square of the face, as a share of the picture's side.

The median of 60 aligned CelebA faces of 20 to 128 px is .94 to .99, of CelebA crops with a frame of true pixels .80, of
LFW photographs .53. Portraits that are cut close (CelebAMask-HQ .74, Helen .77) pass.
"""


def check_aligned(pictures: Sequence[str | Path], aligner: FaceAligner) -> None:
    """Raise an error if pictures that are said to be aligned faces are photographs around a face.

    Pictures in which no face is found, because they are small or damaged, decide nothing.

    Args:
        pictures: Paths of the pictures.
        aligner: Names the detector.

    Raises:
        ValueError: If they are not aligned.
    """
    shares: list[float] = []
    first = ""
    for path in pictures[:: max(1, len(pictures) // LOOKED_AT)][:LOOKED_AT]:
        try:
            image = read_image(path)
        except (OSError, ValueError):
            continue  # it is named when it is enrolled
        (faces,) = find_faces([image], aligner.detector, aligner.device)
        if faces and faces[0].fault is None:
            first = first or str(path)
            shares.append(faces[0].size / image.shape[1])
    if len(shares) >= ENOUGH and not NEAR[0] <= median(shares) <= NEAR[1]:
        raise ValueError(
            f"The pictures are no aligned faces, as --aligned says: in {len(shares)} of them the face takes "
            f"{median(shares):.0%} of the side (median), aligned faces fill it. The first is {first}. Leave --aligned "
            "out (aligned=false), so that the faces are searched for."
        )
