"""What the manifest and the journal of a prepared set may hold. Import it where a file is read, see `schema`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from rim_lightning.schema import Schema
from rim_lightning.schemes import LANDMARK_SCHEMES

Side = Annotated[int, Field(ge=1, le=8192)]


def _known_scheme(name: str) -> str:
    if name not in LANDMARK_SCHEMES:
        raise ValueError(f"it must be one of {', '.join(LANDMARK_SCHEMES)}")
    return name


class SampleSchema(Schema):
    """A prepared sample in the manifest."""

    model_config = ConfigDict(extra="ignore")

    name: str
    identity: str | None
    split: Literal["train", "val", "test"]
    labels: list[str]
    detected: bool
    faces: Annotated[int, Field(ge=0)] = 1
    turned: Literal[0, 90, 180, 270] = 0


class SkippedSchema(Schema):
    """A sample that could not be prepared."""

    name: str
    reason: str


class PackedSchema(Schema):
    """What only packed sets have."""

    quality: Annotated[int, Field(ge=1, le=100)]
    shard: Annotated[int, Field(ge=1, le=10**9)]


class StoreSchema(Schema):
    """`manifest.json`. Entries that say how the faces were made are for reports and comparisons."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1]
    hr_size: Side
    stored_size: Side
    alignment: str = ""
    landmarks: str = ""
    detector: Literal["yunet", "mtcnn"] = "mtcnn"
    landmark_schemes: Annotated[
        list[Annotated[str, AfterValidator(_known_scheme)]], Field(max_length=len(LANDMARK_SCHEMES))
    ]
    parsing: bool
    source_hash: str
    split_hash: str
    identities: list[str]
    samples: list[SampleSchema] | None = None
    skipped: list[SkippedSchema]
    packed: PackedSchema | None = None

    @model_validator(mode="after")
    def _fits(self) -> "StoreSchema":
        if self.stored_size < self.hr_size:
            raise ValueError("stored_size must be hr_size or more")
        return self


class JournalEntry(Schema):
    """A line of the journal: a sample that is prepared, or the reason why it is not."""

    index: Annotated[int, Field(ge=0)]
    reason: str | None = None
    file_hash: str = ""
    labels: list[str] = Field(default=[])
    detected: bool = False
    checksum: int = -1
    faces: int = 1
    turned: int = 0

    @model_validator(mode="before")
    @classmethod
    def _is_whole(cls, entry: Any) -> Any:
        needed = {"file_hash", "labels", "detected", "checksum"}
        if isinstance(entry, dict) and "reason" not in entry and not needed <= set(entry):
            raise ValueError("a prepared sample needs a digest, labels and a checksum")
        return entry
