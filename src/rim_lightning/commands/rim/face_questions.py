"""Searches of a gallery for single faces: each face is a question, and many are answered at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rim_lightning.commands.picture_notes import face_notes

if TYPE_CHECKING:
    from torch import Tensor

    from rim_lightning.gallery.index import Gallery, Hit
    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer
    from rim_lightning.inference.templates import Disagreement

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
        threshold_for: Number of pictures of a gallery template -> threshold. Accept if similarity ≥ threshold.
        face: The face.
        calibration: The thresholds.
    """

    about: dict[str, Any]
    embedding: Tensor
    threshold_for: Callable[[int], float]
    face: AlignedFace
    calibration: Calibration

    @property
    def threshold(self) -> float:
        """Threshold for a gallery template of one picture."""
        return self.threshold_for(1)


def check_search(recognizer: Recognizer, gallery: Gallery, fpir: float | None) -> None:
    """Check before any search that there are thresholds of searches for a gallery, if they are wanted.

    Raises:
        ValueError: If there are none.
    """
    if fpir is None:
        return
    if gallery.is_pooled:
        raise ValueError(
            "The FPIR was measured for single pictures: leave it out for a gallery that was made by --pool."
        )
    recognizer.required_calibration().check_search(len(gallery), fpir)


def question_of(
    recognizer: Recognizer, gallery: Gallery, face: AlignedFace, far: float, fpir: float | None = None
) -> FaceQuestion:
    """Embed a face and choose its threshold.

    Args:
        recognizer: The model.
        gallery: The gallery.
        face: The face.
        far: False accept rate of the threshold.
        fpir: False positive identification rate, in place of `far`.

    Raises:
        ValueError: If there is no threshold for that rate and size, or the embedding is not finite.
    """
    from rim_lightning.inference.quality import QUALITY_FAR

    check_search(recognizer, gallery, fpir)
    about: dict[str, Any] = {"far": far}
    if fpir is None:
        threshold_for = template_thresholds(recognizer, gallery, [face.size], far)
    else:
        point = recognizer.required_calibration().search_point(face.size, len(gallery), fpir)
        about = point._asdict() | {"in_words": point.in_words()}

        def threshold_for(pooled: int) -> float:
            return point.threshold

    (embedding,), (signals,) = recognizer.embed_with_signals([face])
    calibration = recognizer.required_calibration()
    rate = far if fpir is None else QUALITY_FAR
    quality = calibration.probe_quality(signals.tolist(), face.size, rate)
    known = {"quality": None if quality is None else quality._asdict()}
    plain = {**face.plain(), **about, "threshold": threshold_for(1), **known}
    return FaceQuestion(plain, embedding, threshold_for, face, calibration)


def template_thresholds(
    recognizer: Recognizer, gallery: Gallery, sizes: Sequence[float], far: float
) -> Callable[[int], float]:
    """Return the threshold of a template of probes by the number of pictures of the gallery template.

    Args:
        recognizer: The model.
        gallery: The gallery.
        sizes: Side of each probe in pixels, at least one.
        far: False accept rate.

    Raises:
        ValueError: If there is no threshold for that rate and these sizes, and any number of gallery pictures.
    """
    calibration = recognizer.required_calibration()

    @cache
    def threshold_for(pooled: int) -> float:
        return calibration.template_point(sizes, far, pooled).threshold

    for count in calibration.counts if gallery.is_pooled else (1,):
        threshold_for(count)
    return threshold_for


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
    answers = []
    for question, hits in zip(questions, found, strict=True):
        answer = question.about | {"beyond": _beyond(question.calibration, [question.face], hits)}
        answers.append(_with_notes(answer, [question.face]) | {"hits": plain_hits(hits, question.threshold_for)})
    return answers


def search_template(
    recognizer: Recognizer, gallery: Gallery, faces: Sequence[AlignedFace], top: int, far: float
) -> tuple[dict[str, Any], Disagreement | None]:
    """Search the gallery for one template of several probes.

    Args:
        recognizer: The model.
        gallery: The gallery.
        faces: The probes, at least one.
        top: Number of people to return.
        far: False accept rate of the threshold.

    Returns:
        The answer for a JSON object, and whether the probes look like two people.

    Raises:
        ValueError: If there is no threshold for that rate and these sizes.
    """
    from rim_lightning.inference.recognizer import pool
    from rim_lightning.inference.templates import disagreement

    sizes = [face.size for face in faces]
    threshold_for = template_thresholds(recognizer, gallery, sizes, far)
    embeddings, signals = recognizer.embed_with_signals(list(faces))
    (hits,) = gallery.search(pool(embeddings, sizes)[None], top)
    calibration = recognizer.required_calibration()
    quality = calibration.pooled_quality(signals.tolist(), sizes)
    answer = {
        "threshold": threshold_for(1),
        "far": far,
        "beyond": _beyond(calibration, faces, hits),
        "pooled_quality": None if quality is None else quality._asdict(),
    }
    answer = _with_notes(answer, faces) | {"hits": plain_hits(hits, threshold_for)}
    return answer, disagreement(embeddings, sizes, calibration)


def _beyond(calibration: Calibration, faces: Sequence[AlignedFace], hits: Sequence[Hit]) -> list[str]:
    """Return where a search lies beyond what was measured, in sentences."""
    pooled = max((hit.pooled for hit in hits), default=1)
    return list(calibration.beyond_measured([face.size for face in faces], pooled))


def _with_notes(answer: dict[str, Any], faces: Sequence[AlignedFace]) -> dict[str, Any]:
    """Add all that a user should know beside the hits."""
    from rim_lightning.inference.search_calibration import search_cautions

    return answer | {"notes": [*search_cautions(answer), *face_notes(faces)]}


def plain_hits(hits: Sequence[Hit], threshold_for: Callable[[int], float]) -> list[dict[str, Any]]:
    """Return the people whom a search found for a JSON object, each with its threshold and whether it is accepted."""
    from rim_lightning.gallery.stored_templates import picture_state

    plain = []
    for hit in hits:
        threshold = threshold_for(hit.pooled)
        judged = {"threshold": threshold, "accepted": hit.similarity >= threshold}
        plain.append(hit._asdict() | judged | {"state": picture_state(hit.source, hit.digest)})
    return plain


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
