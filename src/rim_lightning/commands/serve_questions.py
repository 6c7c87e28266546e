"""The questions that the service answers, on pictures in memory. Nothing here knows of HTTP."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rim_lightning import __version__
from rim_lightning.commands.picture_notes import comparison_notes, face_notes
from rim_lightning.commands.rim.face_questions import answers_to, check_search, question_of
from rim_lightning.data.images import ImageError, picture_header, read_image
from rim_lightning.files import printable
from rim_lightning.gallery.changes import Way
from rim_lightning.gallery.index import Enrolled, Gallery, Template
from rim_lightning.gallery.names import checked_person, unicode_name

if TYPE_CHECKING:
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer

MAX_PIXELS = 50_000_000  # of a picture; finding its faces takes about 1 GB
MAX_PICTURES = 16  # of one person in a question
MAX_TOP = 1000  # people of a search
MAX_ALL_PIXELS = 200_000_000  # of all pictures of a person in a question
UPLOADED = "upload:"
"""How the path of a template begins whose picture came by the service, which keeps no picture."""


class NotThere(ValueError):
    """A person or gallery that the service does not have."""


class SentPicture(NamedTuple):
    """A picture of a question.

    Attributes:
        name: Its name, for messages.
        content: Bytes of its file.
    """

    name: str
    content: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


class FaceService:
    """Answers questions about faces. Its methods may be called from several threads at once.

    Args:
        recognizer: Model with thresholds.
        gallery: Gallery to search and to change. None for a service without a search.
    """

    def __init__(self, recognizer: Recognizer, gallery: Gallery | None) -> None:
        self._recognizer = recognizer
        self._gallery = gallery
        self._changing = threading.Lock()

    def about(self) -> dict[str, Any]:
        """Say which model answers, on whom its rates were measured, and how many pictures are enrolled."""
        calibration = self._recognizer.required_calibration()
        return {
            "version": __version__,
            "model": self._recognizer.fingerprint,
            "model_of_probes": self._recognizer.probe_fingerprint,
            "measured_on": calibration.chosen_on.in_words(),
            "fars": list(calibration.usable_fars()),
            "detector": self._recognizer.aligner.detector,
            "enrolled_pictures": None if self._gallery is None else len(self._gallery),
        }

    def verify(
        self, probes: Sequence[SentPicture], gallery: Sequence[SentPicture], far: float, aligned: bool
    ) -> dict[str, Any]:
        """Say whether probes of one person and gallery pictures of one person show the same one.

        Args:
            probes: 1 to `MAX_PICTURES` probes.
            gallery: As many sharp pictures.
            far: False accept rate of the threshold.
            aligned: True if the pictures are aligned square faces.

        Returns:
            The answer of `rim verify --json`, with the digests of the pictures.

        Raises:
            ValueError: If a picture cannot be used, or there is no threshold for `far`.
        """
        from rim_lightning.case.record_content import plain_verification

        self._recognizer.required_calibration(pairs=True).check_far(far)
        faces = {"probe": self._faces(probes, aligned), "gallery": self._faces(gallery, aligned)}
        answer = self._recognizer.verify(faces["probe"], faces["gallery"], far)
        places = {f"{side}_found": [face.plain_found() for face in found] for side, found in faces.items()}
        digests = {
            "probe_sha256": [upload.digest for upload in probes],
            "gallery_sha256": [upload.digest for upload in gallery],
        }
        notes = comparison_notes(answer, [*faces["probe"], *faces["gallery"]], self._recognizer.rim.hr_size)
        return plain_verification(answer) | places | digests | {"notes": notes}

    def identify(self, probe: SentPicture, top: int, far: float, fpir: float | None, aligned: bool) -> dict[str, Any]:
        """Search the gallery for the person on a probe.

        Args:
            probe: The probe.
            top: Number of people, 1 to `MAX_TOP`.
            far: False accept rate of the threshold.
            fpir: False positive identification rate, in place of `far`.
            aligned: True if the picture is an aligned square face.

        Returns:
            The answer of `rim identify --json` to one face, with the digest of the picture.

        Raises:
            NotThere: If there is no gallery.
            ValueError: If the picture cannot be used, or there is no such threshold.
        """
        gallery = self.opened_gallery()
        if fpir is None:
            self._recognizer.required_calibration().check_far(far)
        check_search(self._recognizer, gallery, fpir)
        (face,) = self._faces([probe], aligned)
        (answer,) = answers_to(gallery, [question_of(self._recognizer, gallery, face, far, fpir)], top)
        for hit in answer["hits"]:
            if hit["source"].startswith(UPLOADED):
                del hit["state"]  # no file, which could have changed
        return answer | {"probe_sha256": probe.digest, "gallery_size": len(gallery)}

    def enroll(self, person: str, uploads: Sequence[SentPicture], aligned: bool) -> dict[str, Any]:
        """Enroll pictures of a person, all of them or none. Pictures that the person has already are not added again.

        Args:
            person: Name of the person.
            uploads: 1 to `MAX_PICTURES` sharp pictures.
            aligned: True if they are aligned square faces.

        Returns:
            The person, and the digests of the pictures that were added and of those that were there.

        Raises:
            NotThere: If there is no gallery.
            ValueError: If a picture cannot be used, or the name is none.
            OSError: If the gallery cannot be written.
        """
        gallery = self.opened_gallery()
        person = checked_person(person)
        faces = self._faces(uploads, aligned)
        embeddings = self._recognizer.embed_gallery(faces)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        way = Way("aligned", None) if aligned else Way("detected", self._recognizer.aligner.detector)
        with self._changing, gallery.writing():
            known = {row.digest for row in gallery.enrolled() if row.person == person}
            templates = {}
            for upload, face, embedding in zip(uploads, faces, embeddings, strict=True):
                source = f"{UPLOADED}{upload.digest}"
                picture = Enrolled(person, source, upload.digest, None, now, way.alignment, way.detector, face.faces)
                templates[upload.digest] = Template(picture, embedding)
            new = [digest for digest in templates if digest not in known]
            gallery.add([templates[digest] for digest in new])
        there = [digest for digest in templates if digest in known]
        return {"person": person, "added_sha256": new, "present_sha256": there, "notes": face_notes(faces)}

    def forget(self, person: str) -> dict[str, Any]:
        """Remove all templates of a person, for good.

        Raises:
            NotThere: If there is no gallery, or no such person.
            OSError: If the gallery cannot be written.
        """
        gallery = self.opened_gallery()
        with self._changing:  # `enroll` takes spaces around a name away, `rim enroll` does not
            for name in dict.fromkeys((unicode_name(person), unicode_name(person).strip())):
                if removed := gallery.delete(name):
                    return {"person": name, "removed": removed}
        raise NotThere(f"The gallery has no {printable(person)}.")

    def people(self) -> dict[str, Any]:
        """Return the number of templates of each person.

        Raises:
            NotThere: If there is no gallery.
        """
        return {"people": self.opened_gallery().people()}

    def hallucinate(self, probe: SentPicture, aligned: bool) -> bytes:
        """Hallucinate a sharp face from a probe.

        Args:
            probe: The probe.
            aligned: True if the picture is an aligned square face.

        Returns:
            A PNG file, with "hallucinated: not a photograph" on its pixels and in its texts.

        Raises:
            ValueError: If the picture cannot be used.
        """
        from PIL.PngImagePlugin import PngInfo

        from rim_lightning.case.illustrations import with_watermark
        from rim_lightning.inference.face_pictures import hallucination_texts, sharp_face

        picture = with_watermark(sharp_face(self._recognizer.hallucinate(self._faces([probe], aligned)), 0))
        texts, file = PngInfo(), io.BytesIO()
        for keyword, text in hallucination_texts("of the service", self._recognizer.probe_fingerprint).items():
            texts.add_itxt(keyword, text)
        picture.save(file, "PNG", pnginfo=texts)
        return file.getvalue()

    def opened_gallery(self) -> Gallery:
        """Return the gallery.

        Raises:
            NotThere: If there is none.
        """
        if self._gallery is None:
            raise NotThere("This service has no gallery: start rim serve with --index.")
        return self._gallery

    def _faces(self, uploads: Sequence[SentPicture], aligned: bool) -> list[AlignedFace]:
        """Return the largest face of each picture."""
        if not 1 <= len(uploads) <= MAX_PICTURES:
            raise ValueError(f"Give 1 to {MAX_PICTURES} pictures of a person, not {len(uploads)}.")
        _check_pixels(uploads)
        faces = []
        for upload in uploads:
            image = read_image(upload.content, upload.name)
            faces += self._recognizer.align(image, aligned, upload.name)
        return faces


def _check_pixels(uploads: Sequence[SentPicture]) -> None:
    """Refuse pictures of too many pixels by their headers alone. What is no picture is refused when it is read."""
    pixels = 0
    for upload in uploads:
        try:
            header = picture_header(upload.content, upload.name)
        except ImageError:
            raise
        except Exception:  # Pillow's decoders raise errors of any kind
            continue
        if header.width * header.height > MAX_PIXELS:
            raise ImageError(f"{upload.name} has more than {MAX_PIXELS // 10**6} million pixels: reduce it.")
        pixels += header.width * header.height
    if pixels > MAX_ALL_PIXELS:
        raise ImageError(
            f"The pictures of a person have more than {MAX_ALL_PIXELS // 10**6} million pixels together: reduce them."
        )
