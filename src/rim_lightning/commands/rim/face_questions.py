"""Searches of a gallery for single faces: each face is a question, and many are answered at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from rim_lightning.gallery.index import Gallery, Hit
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer

TEMPLATES_FOR_EACH = 4096
"""Templates of a gallery for which one more question is answered at once: then the gallery is read less often."""
MOST_TOGETHER = 256
"""Most questions that are answered at once."""

Item = TypeVar("Item")


class FaceQuestion(NamedTuple):
    """A face that is searched for.

    Attributes:
        about: What the answer says of face and threshold, for a JSON object.
        embedding: (E,), of length 1.
        threshold: Accept if similarity ≥ threshold.
    """

    about: dict[str, Any]
    embedding: Tensor
    threshold: float


def question_of(
    recognizer: Recognizer, templates: int, face: AlignedFace, far: float, fpir: float | None = None
) -> FaceQuestion:
    """Embed a face and choose its threshold.

    Args:
        recognizer: The model.
        templates: Number of pictures of the gallery.
        face: The face.
        far: False accept rate of the threshold.
        fpir: False positive identification rate, in place of `far`.

    Raises:
        ValueError: If there is no threshold for that rate and size, or the embedding is not finite.
    """
    calibration = recognizer.required_calibration()
    about: dict[str, Any] = {"far": far}
    if fpir is None:
        threshold = calibration.operating_point(face.size, far).threshold
    else:
        point = calibration.search_point(face.size, templates, fpir)
        threshold, about = point.threshold, point._asdict() | {"in_words": point.in_words()}
    (embedding,) = recognizer.embed_probes([face])
    return FaceQuestion({**face.plain(), **about, "threshold": threshold}, embedding, threshold)


def answers_to(gallery: Gallery, questions: Sequence[FaceQuestion], top: int) -> list[dict[str, Any]]:
    """Search the gallery for some faces, all at once.

    Args:
        gallery: The gallery.
        questions: The faces.
        top: Number of people to return for each.

    Returns:
        For each face an answer for a JSON object.
    """
    import torch

    if not questions:
        return []
    found = gallery.search(torch.stack([question.embedding for question in questions]), top)
    return [
        question.about | {"hits": plain_hits(hits, question.threshold)}
        for question, hits in zip(questions, found, strict=True)
    ]


def plain_hits(hits: Sequence[Hit], threshold: float) -> list[dict[str, Any]]:
    """Return the people whom a search found for a JSON object, and whether they are accepted."""
    from rim_lightning.gallery.stored_templates import picture_state

    return [
        hit._asdict() | {"accepted": hit.similarity >= threshold, "state": picture_state(hit.source, hit.digest)}
        for hit in hits
    ]


def in_blocks(items: Iterable[Item], templates: int) -> Iterator[list[Item]]:
    """Divide what is asked into blocks that are answered at once: the larger the gallery, the more.

    Args:
        items: What is asked.
        templates: Number of pictures of the gallery.

    Yields:
        The items of a block, at least one.
    """
    items = iter(items)
    size = min(max(1, templates // TEMPLATES_FOR_EACH), MOST_TOGETHER)
    while block := list(islice(items, size)):
        yield block
