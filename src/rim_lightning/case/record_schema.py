"""What `record.json` may hold: types and ranges. Imports pydantic, but no torch: import it where a record is read.

Floating-point numbers are written with all digits that they need, so that they are read back bit for bit.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rim_lightning.schema import Count, Digest, FileName, Schema, Share

FORMAT = 1
MOST_ENTRIES = 100_000
"""Most pictures, faces or answers of one record that are read."""
MOST_THREADS = 1024
MOST_REVIEWERS = 100
MOST_HITS = 10_000
"""Most people whom one search of a record found."""
LONGEST_NAME = 20_000
"""Most characters of a name. A path may have 4096 bytes, and an escape has up to four characters."""
LARGEST_SIMILARITY = 1.01
"""A cosine, rounded up."""


def _dated(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it must have a time zone")
    return text


def _not_reversed(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise ValueError("an interval must not end before it begins")
    return ends


_Text = Annotated[str, Field(max_length=1000)]
_Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
"""Name of a picture, person or reviewer."""
_Moment = Annotated[str, Field(max_length=40), AfterValidator(_dated)]
"""Date and time with a time zone, ISO 8601."""
_Similarity = Annotated[float, Field(ge=-LARGEST_SIMILARITY, le=LARGEST_SIMILARITY)]
_Pixels = Annotated[float, Field(ge=-1e6, le=1e6)]
_Size = Annotated[float, Field(gt=0, le=1e6)]
_Interval = Annotated[list[Share], Field(min_length=2, max_length=2), AfterValidator(_not_reversed)]
_Position = Annotated[int, Field(ge=0, lt=10**6)]
_Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_Box = Annotated[list[_Pixels], Field(min_length=4, max_length=4)]
_Point = Annotated[list[_Pixels], Field(min_length=2, max_length=2)]
_Beyond = Annotated[list[_Text], Field(max_length=10)]
"""What lies beyond the measurement, in sentences."""
PictureSide = Literal["probe", "gallery", "hit"]


class CaseSettings(Schema):
    """The settings of the command, as they were in effect. None where an option was left out.

    Attributes:
        model: Path as given; None for the model of the package.
        threads: Number of threads of torch: another number can change the last bits of a similarity.
    """

    model: _Name | None
    device: _Text
    detector: _Text
    far: Annotated[float, Field(gt=0, le=1)]
    size: _Size | None
    demo: bool
    calibration: _Name | None
    aligned: Literal["probe", "gallery", "both"] | None
    face: Annotated[int, Field(ge=1, le=10**6)] | _Box | None
    gallery_face: Annotated[int, Field(ge=1, le=10**6)] | _Box | None
    every_face: bool
    index: _Name | None
    top: Annotated[int, Field(ge=1, le=10**9)] | None
    fpir: Annotated[float, Field(gt=0, lt=1)] | None
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)]


class CasePicture(Schema):
    """A picture of which the record holds a copy, byte for byte.

    Attributes:
        name: Its path as given.
        file: Name of the copy in the folder `pictures`.
        width: Width in pixels, turned as the file says.
    """

    side: PictureSide
    name: _Name
    file: FileName
    sha256: Digest
    width: Annotated[int, Field(ge=1, le=10**6)]
    height: Annotated[int, Field(ge=1, le=10**6)]


class CaseIllustration(Schema):
    """A picture that the network made of a probe. It is no evidence."""

    file: FileName
    sha256: Digest


class CaseFace(Schema):
    """A face in a picture of the record.

    Attributes:
        picture: _Position of the picture in the list of pictures.
        number: Number of the face in its picture. 0 if it was found in a given box, or none was searched for.
        box: x0, y0, x1, y1 in pixels of the picture. None if the picture was taken as an aligned face.
        points: Eyes, nose and corners of the mouth, x and y in pixels of the picture. None likewise.
        size: Side in pixels by which the face is judged.
        pixels: Side in pixels of the square that was cut out of the picture.
        faces: Number of usable faces in the picture.
    """

    picture: _Position
    number: Annotated[int, Field(ge=0, le=10**6)]
    box: _Box | None
    points: Annotated[list[_Point], Field(min_length=5, max_length=5)] | None
    confidence: Share | None
    turned: Literal[0, 90, 180, 270]
    size: _Size
    pixels: _Size
    faces: Count
    notes: Annotated[list[_Text], Field(max_length=20)]
    illustrations: Annotated[dict[Literal["hallucinated", "landmarks"], CaseIllustration], Field(max_length=2)]


class CaseModel(Schema):
    """What was used to answer.

    Attributes:
        fingerprint: Name of the embeddings of the gallery.
        probe_fingerprint: Name of the embeddings of probes.
        hr_size: Side of the model's sharp faces in pixels.
        weights: SHA-256 of the file of the weights.
        card: SHA-256 of `card.json`. None for a checkpoint.
        detector_weights: SHA-256 of the weights of the detector. None if they are those of another package.
    """

    fingerprint: _Fingerprint
    probe_fingerprint: _Fingerprint
    hr_size: Annotated[int, Field(ge=1, le=4096)]
    weights: Digest
    card: Digest | None
    detector_weights: Digest | None


class CaseThresholds(Schema):
    """The thresholds and rates.

    Attributes:
        sha256: Digest of all thresholds and rates, wherever they come from.
        file: SHA-256 of `calibration.json` in the record, a copy of the file that was given. None if they are those of
            the model.
    """

    sha256: Digest
    file: Digest | None


class CasePeople(Schema):
    """The people of the measurement, `CalibrationSet`."""

    name: _Text
    people: Annotated[int, Field(ge=1, le=10**9)]
    faces: Literal["photographs", "synthetic", "not stated"]
    probes: _Text


class CaseGallery(Schema):
    """The gallery of a search.

    Attributes:
        sha256: Digest of what it knows of its pictures: people, paths, digests, dates.
        templates: Number of its pictures.
        people: Number of its people, if the pictures of each are one template. None if each picture is one.
    """

    sha256: Digest
    templates: Count
    people: Count | None = None


class CaseRatio(Schema):
    """`Ratio`."""

    log10: Annotated[float, Field(ge=-9, le=9)]
    bound: Annotated[float, Field(ge=0, le=9)]
    at_bound: bool


class CaseQuality(Schema):
    """`ProbeQuality`."""

    score: Share
    missed: Share


class CasePooledQuality(Schema):
    """`PooledQuality`; the scores are those of the probe faces, in their order."""

    best: Share
    mean: Share
    scores: Annotated[list[Share | None], Field(min_length=2, max_length=MOST_ENTRIES)]


class CaseVerification(Schema):
    """`Verification`, and which faces it is about."""

    probe_faces: Annotated[list[_Position], Field(min_length=1)]
    gallery_faces: Annotated[list[_Position], Field(min_length=1)]
    similarity: _Similarity
    threshold: _Similarity
    accepted: bool
    far: Share
    frr: Share
    probe_size: _Size
    gallery_size: _Size
    probes: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    gallery: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    chosen_on: CasePeople
    far_interval: _Interval | None
    frr_interval: _Interval | None
    ratio: CaseRatio | None
    not_acquired: Share | None
    largest_probe_size: _Size | None
    quality: CaseQuality | None = None  # records of earlier versions have none, nor the next two
    pooled_quality: CasePooledQuality | None = None
    beyond: _Beyond = Field(default_factory=list)


class CaseHit(Schema):
    """A person whom a search found.

    Attributes:
        picture: _Position of the copy of the gallery picture; None if it was not what had been enrolled.
        state: "unchanged", "changed" or "gone": whether the picture was what had been enrolled.
        pooled: Number of pictures of the template.
        threshold: Threshold for it. None for that of the search, which is the one of a single picture.
    """

    person: _Name
    source: _Name
    similarity: _Similarity
    digest: Annotated[str, Field(max_length=64)]
    enrolled: Annotated[str, Field(max_length=40)] | None
    accepted: bool
    state: Literal["unchanged", "changed", "gone"]
    picture: _Position | None
    pooled: Annotated[int, Field(ge=1, le=10**9)] = 1
    threshold: _Similarity | None = None


class CaseSearch(Schema):
    """The answer for one face of a search. The rates are those of `SearchPoint`, None if `--far` was asked for."""

    face: _Position
    threshold: _Similarity
    far: Share | None
    fpir: Share | None
    fnir: Share | None
    fpir_interval: _Interval | None
    fnir_interval: _Interval | None
    chosen_on: CasePeople
    quality: CaseQuality | None = None  # records of earlier versions have none, nor the next one
    beyond: _Beyond = Field(default_factory=list)
    hits: Annotated[list[CaseHit], Field(max_length=MOST_HITS)]


class CaseRecord(Schema):
    """`record.json`.

    Attributes:
        made: When the command answered.
        reviewers: Who looked, as `--reviewer` names them.
        left_out: Picture -> reason why it was left out.
        versions: Program, package or machine -> its version or name.
        verifications: Answers of `rim verify`; empty for a search.
        searches: Answers of `rim identify`, one for each face; empty otherwise.
    """

    format: Literal[1]
    command: Literal["verify", "identify"]
    made: _Moment
    reviewers: Annotated[list[_Name], Field(max_length=MOST_REVIEWERS)]
    settings: CaseSettings
    pictures: Annotated[list[CasePicture], Field(min_length=1, max_length=MOST_ENTRIES)]
    faces: Annotated[list[CaseFace], Field(min_length=1, max_length=MOST_ENTRIES)]
    left_out: Annotated[dict[_Name, _Name], Field(max_length=MOST_ENTRIES)]
    model: CaseModel
    thresholds: CaseThresholds
    gallery: CaseGallery | None
    versions: Annotated[dict[_Text, _Text], Field(max_length=100)]
    verifications: Annotated[list[CaseVerification], Field(max_length=10_000)]
    searches: Annotated[list[CaseSearch], Field(max_length=MOST_ENTRIES)]

    @model_validator(mode="after")
    def _fits(self) -> "CaseRecord":
        if len({picture.file for picture in self.pictures}) < len(self.pictures):
            raise ValueError("two pictures have one file")
        if any(face.picture >= len(self.pictures) for face in self.faces):
            raise ValueError("a face names a picture that is not listed")
        named = [place for answer in self.verifications for place in (*answer.probe_faces, *answer.gallery_faces)]
        named += [answer.face for answer in self.searches]
        if max(named, default=0) >= len(self.faces):
            raise ValueError("an answer names a face that is not listed")
        hits = [hit.picture for answer in self.searches for hit in answer.hits if hit.picture is not None]
        if max(hits, default=0) >= len(self.pictures):
            raise ValueError("a hit names a picture that is not listed")
        if self.command == "verify" and (self.searches or not self.verifications):
            raise ValueError("a record of rim verify must have verifications, and no searches")
        if self.command == "identify" and (self.verifications or not self.searches or self.gallery is None):
            raise ValueError("a record of rim identify must have searches and a gallery, and no verifications")
        return self
