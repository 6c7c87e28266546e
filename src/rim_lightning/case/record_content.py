"""What a record says of an answer, as plain data: made when the record is, and again when it is replayed."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rim_lightning import __version__
from rim_lightning.data.yunet import WEIGHTS as YUNET_WEIGHTS
from rim_lightning.files import content_digest, file_digest, without_surrogates
from rim_lightning.inference.card import CARD
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.model_folder import WEIGHTS
from rim_lightning.runs.provenance import code_version, processor

if TYPE_CHECKING:
    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.inference.recognizer import Recognizer, Verification

PACKAGES = ("torch", "numpy", "pillow", "opencv-python-headless", "safetensors", "lancedb", "facenet-pytorch")
"""Packages whose version may change an answer, as far as they are installed."""


class CaseAnswer(NamedTuple):
    """One answer and the faces that it is about.

    Attributes:
        probes: The probe, or the probes that were pooled.
        gallery: The gallery pictures. Empty for a search.
        plain: The answer, ready for a JSON object.
    """

    probes: Sequence[AlignedFace]
    gallery: Sequence[AlignedFace]
    plain: dict[str, Any]


class GalleryState(NamedTuple):
    """What a record says of a gallery, see `record_schema.CaseGallery`."""

    sha256: str
    templates: int
    people: int | None = None


def plain_verification(answer: Verification) -> dict[str, Any]:
    """Return the answer to a verification for a JSON object."""
    return answer._asdict() | {
        "chosen_on": answer.chosen_on._asdict(),
        "ratio": None if answer.ratio is None else answer.ratio._asdict(),
        "quality": None if answer.quality is None else answer.quality._asdict(),
        "pooled_quality": None if answer.pooled_quality is None else answer.pooled_quality._asdict(),
    }


def answer_content(
    recognizer: Recognizer,
    answers: Sequence[CaseAnswer],
    positions: Mapping[tuple[str, str], int],
    gallery: GalleryState | None = None,
    hit_pictures: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return faces and answers for a record.

    Args:
        recognizer: What answered.
        answers: The answers of one command.
        positions: (side, name) of a picture -> its position in the list of pictures.
        gallery: The gallery of a search; None for a verification.
        hit_pictures: Path of a gallery picture -> the position of its copy.

    Returns:
        The entries `faces`, `verifications`, `searches`, `thresholds` without `file`, and `gallery` of a record.
    """
    faces = faces_of_answers(answers)
    place_of = {id(face): place for place, (face, _) in enumerate(faces)}
    verifications: list[dict[str, Any]] = []
    searches: list[dict[str, Any]] = []
    calibration = recognizer.required_calibration(pairs=gallery is None)
    for probes, sharp, plain in answers:
        probe_faces = [place_of[id(face)] for face in probes]
        if gallery is None:
            gallery_faces = [place_of[id(face)] for face in sharp]
            verifications.append({"probe_faces": probe_faces, "gallery_faces": gallery_faces} | _listed(plain))
        else:
            (face,) = probe_faces
            searches.append(_plain_search(face, plain, calibration, hit_pictures or {}))
    return {
        "faces": [_plain_face(face, positions[side, face.name]) for face, side in faces],
        "verifications": verifications,
        "searches": searches,
        "thresholds": {"sha256": _thresholds_digest(calibration)},
        "gallery": None if gallery is None else gallery._asdict(),
    }


def faces_of_answers(answers: Sequence[CaseAnswer]) -> list[tuple[AlignedFace, str]]:
    """Return the faces of some answers with their sides, each once, in the order in which a record lists them."""
    faces: dict[int, tuple[AlignedFace, str]] = {}
    for probes, gallery, _ in answers:
        for face in probes:
            faces.setdefault(id(face), (face, "probe"))
        for face in gallery:
            faces.setdefault(id(face), (face, "gallery"))
    return list(faces.values())


def model_content(recognizer: Recognizer, model: Path) -> dict[str, Any]:
    """Return what a record says of the model.

    Args:
        recognizer: The model.
        model: Model folder or checkpoint that it was loaded from.
    """
    is_folder = model.is_dir()
    return {
        "fingerprint": recognizer.fingerprint,
        "probe_fingerprint": recognizer.probe_fingerprint,
        "hr_size": recognizer.rim.hr_size,
        "weights": content_digest(model / WEIGHTS if is_folder else model),
        "card": content_digest(model / CARD) if is_folder else None,
        "detector_weights": file_digest(YUNET_WEIGHTS) if recognizer.aligner.detector == "yunet" else None,
    }


def versions() -> dict[str, str]:
    """Return the versions of all that may change an answer, and the machine: other processors round in other ways."""
    code = "" if code_version() == __version__ else f" ({code_version()})"
    known = {"rim-lightning": f"{__version__}{code}", "python": platform.python_version()}
    for package in PACKAGES:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return known | {
        "platform": platform.platform(),
        "processor": f"{processor()} ({torch.backends.cpu.get_cpu_capability()})",
    }


def _plain_face(face: AlignedFace, picture: int) -> dict[str, Any]:
    found = face.found
    return {
        "picture": picture,
        "number": face.number,
        "box": None if found is None else [float(value) for value in found.box],
        "points": None if found is None else [[float(value) for value in point] for point in found.points],
        "confidence": None if found is None else float(found.confidence),
        "turned": face.turned,
        "size": float(face.size),
        "pixels": float(face.pixels_across),
        "faces": face.faces,
        "notes": list(face.notes),
        "illustrations": {},
    }


def _plain_search(
    face: int, plain: Mapping[str, Any], calibration: Calibration, hit_pictures: Mapping[str, int]
) -> dict[str, Any]:
    rates = ("far", "fpir", "fnir", "fpir_interval", "fnir_interval")
    hits = [
        hit
        | {"person": without_surrogates(hit["person"]), "source": without_surrogates(hit["source"])}
        | {"picture": hit_pictures.get(hit["source"])}
        | {"threshold": None if hit["threshold"] == plain["threshold"] else hit["threshold"]}
        for hit in plain["hits"]
    ]
    return _listed(
        {"face": face, "threshold": plain["threshold"]}
        | {name: plain.get(name) for name in rates}
        | {"chosen_on": calibration.chosen_on._asdict(), "quality": plain["quality"], "beyond": plain["beyond"]}
        | {"hits": hits}
    )


def _listed(plain: Any) -> Any:
    """Return plain containers as JSON has them: lists in place of tuples."""
    return json.loads(json.dumps(plain))


def _thresholds_digest(calibration: Calibration) -> str:
    content = json.dumps(calibration.to_plain(), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
