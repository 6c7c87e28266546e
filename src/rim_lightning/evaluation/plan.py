"""What an evaluation measures: the settings of `conf/evaluation`, as value objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from rim_lightning.data.preparation import Alignment
from rim_lightning.evaluation.protocols import PACK_SETTINGS
from rim_lightning.functional.seeded_probes import ProbeKind, check_probe_kind
from rim_lightning.networks.usage import Usage


@dataclass(frozen=True)
class FacesPlan:
    """Faces to hallucinate.

    Attributes:
        sets: Names of prepared sets.
        split: Split of each of them.
        root: A folder of images with landmark files (.pts) beside them; None leaves it out.
        first_pixel: Coordinate of the center of the first pixel in these files, see `read_points`.
        alignment: How the images of `root` are aligned, see `prepare`.
        protocol: "y" for BT.601 luma or "rgb".
        crop: Pixels left out at each border.
    """

    sets: Sequence[str]
    split: str
    root: str | None
    first_pixel: float
    alignment: Alignment
    protocol: Literal["y", "rgb"]
    crop: int


@dataclass(frozen=True)
class PairListPlan:
    """A list of pairs in the layout of LFW.

    Attributes:
        root: Folder of the set; None leaves it out.
        images: Folder in `root` with one folder of images per person.
        pairs: File of the list, as LFW's View 2.
        landmarks: Table of five landmarks per image; None detects them.
    """

    root: str | None
    images: str
    pairs: str
    landmarks: str | None


@dataclass(frozen=True)
class EvaluationPlan:
    """Everything that one evaluation measures.

    Attributes:
        probe_sizes: Sides of the probes of verification in pixels.
        degradation: How the probes of verification are made, see `ProbeKind`.
        misalignment: How the probes of verification are moved, see `ProbeKind`.
        flip: True to average every embedding with that of the mirrored face.
        shift: Distance of four moved faces that are averaged, too, as a share of the side; 0 for none.
        mixture: Sizes, and the weight of RIM beside the teacher at each of them; None leaves the mixture out.
        reduced_gallery: Sizes, and the weight of the reduced gallery face at each of them; None leaves it out.
        batch_size: Faces per batch.
        panel_faces: Number of faces of each set that the report shows.
        sr: Faces to hallucinate.
        identities: Name of a prepared set -> split whose people are paired by seed 0.
        verification_pairs: Genuine pairs, and as many impostor pairs, of each set of `identities`.
        lfw: A list of pairs.
        packs: Name -> verification set in one file: its settings, see `packed_pairs`.
    """

    probe_sizes: Sequence[int]
    degradation: str
    misalignment: str | None
    flip: bool
    shift: float
    mixture: Sequence[Sequence[float]] | None
    reduced_gallery: Sequence[Sequence[float]] | None
    batch_size: int
    panel_faces: int
    sr: FacesPlan
    identities: Mapping[str, str]
    verification_pairs: int
    lfw: PairListPlan
    packs: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        check_probe_kind(self.probe_kind)
        self.usage()

    @property
    def probe_kind(self) -> ProbeKind:
        """How the probes of verification are made."""
        return ProbeKind(self.degradation, self.misalignment)

    def usage(self) -> Usage:
        """Return how the network is used.

        Raises:
            ValueError: If a setting is out of its range.
        """
        curves = {"mixture": self.mixture, "reduced_gallery": self.reduced_gallery}
        given = {name: curve for name, curve in curves.items() if curve is not None}
        return Usage.from_plain({"flip": self.flip, "shift": self.shift} | given)


def evaluation_plan(settings: Mapping[str, Any]) -> EvaluationPlan:
    """Build the plan from the settings of `conf/evaluation`.

    Args:
        settings: Plain containers with the fields of `EvaluationPlan` as keys.

    Raises:
        ValueError: If a setting is unknown or missing, or there is no such degradation or misalignment.
    """
    _check_keys(EvaluationPlan, settings, "evaluation")
    _check_keys(FacesPlan, settings["sr"], "evaluation.sr")
    _check_keys(PairListPlan, settings["lfw"], "evaluation.lfw")
    for name, pack in settings["packs"].items():
        if not isinstance(pack, Mapping) or "file" not in pack or not set(pack) <= set(PACK_SETTINGS):
            raise ValueError(f"evaluation.packs.{name} needs a file; its settings are {', '.join(PACK_SETTINGS)}.")
    parts = {"sr": FacesPlan(**settings["sr"]), "lfw": PairListPlan(**settings["lfw"])}
    return EvaluationPlan(**{**settings, **parts})


def _check_keys(kind: type, settings: Mapping[str, Any], group: str) -> None:
    names = [field.name for field in fields(kind)]
    for name in settings:
        if name not in names:
            raise ValueError(f"There is no setting {group}.{name}; choose from {', '.join(names)}.")
    for name in names:
        if name not in settings:
            raise ValueError(f"{group}.{name} is not set; add {group}.{name}=<value> to the command.")
