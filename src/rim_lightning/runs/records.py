"""What the files in the folder of a run and of a sweep may hold. Import it where a file is read, see `schema`."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, RootModel

from rim_lightning.json_files import ADVICE, read_json
from rim_lightning.schema import Count, Schema, checked

S = TypeVar("S", bound=Schema)
ATTEMPTS = 10**6
JOBS = 10**5


class RunRecord(Schema):
    """A record. Entries of later versions are not read."""

    model_config = ConfigDict(extra="ignore")


def _date(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _ascending(jobs: list[Any]) -> list[Any]:
    if any(earlier.index >= later.index for earlier, later in pairwise(jobs)):
        raise ValueError("the numbers of its jobs must ascend")
    return jobs


Date = Annotated[str, AfterValidator(_date)]
Texts = Annotated[list[str], Field(max_length=10_000)]


class StateRecord(RunRecord):
    """`state.json`, see `runs.state.RunState`."""

    name: Literal["running", "finished", "interrupted", "failed", "unknown"] = "unknown"
    attempts: Annotated[int, Field(ge=0, le=ATTEMPTS)] = 0
    message: str = ""
    seconds: Annotated[float, Field(ge=0)] | None = None
    started: Date | None = None
    pid: int | None = None
    host: str | None = None


class OriginRecord(RunRecord):
    """`origin.json`, see `runs.origin.Origin`."""

    overrides: Texts
    version: str
    processes: Annotated[int, Field(ge=1, le=10**6)]
    stores: dict[str, str]
    files: dict[str, str]


class JobRecord(RunRecord):
    """A job in `sweep.json`."""

    index: Annotated[int, Field(ge=0, lt=JOBS)]
    overrides: Texts


class SweepRecord(RunRecord):
    """`sweep.json`, see `runs.sweep.Sweep`."""

    format: Annotated[int, Field(ge=1)] = 1
    command: Texts
    launcher: dict[str, Any]
    jobs: Annotated[list[JobRecord], Field(max_length=JOBS), AfterValidator(_ascending)]


class BudgetRecord(RunRecord):
    """The file of a budget, see `training.run`."""

    minutes: Annotated[float, Field(gt=0)] | None = None
    work: Annotated[float, Field(gt=0)] | None = None
    samples_per_epoch: Annotated[int, Field(ge=1, le=10**12)]


class TeacherRecord(RunRecord):
    """The record of a kept teacher, see `training.kept_teacher`."""

    sha256: str
    figures: dict[str, float | None]


class TrackingRecord(RunRecord):
    """The identity of a run for W&B, see `training.callbacks.wandb_tracking`."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class ResultsRecord(RunRecord):
    """The format of a folder of results, see `comparison.plan.results`."""

    format: Count


class SpeedEntry(Schema):
    """A row of `speed.json`, see `speed.rows`. What was measured stands beside its settings."""

    model_config = ConfigDict(extra="allow")

    label: str
    overrides: Texts
    steps: int
    epochs: int
    series: str
    x: list[Any] | None
    pairs_per_s: Annotated[float, Field(gt=0)] = 1.0  # not there if the row failed


class _Figures(RootModel[dict[str, float | None]]):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Reported(RootModel[list[float | list[float] | None]]):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _SpeedEntries(RootModel[list[SpeedEntry]]):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


def read_record(file: Path, schema: type[S], advice: str = ADVICE) -> S:
    """Read a record of a run or a sweep.

    Args:
        file: File to read.
        schema: What it may hold.
        advice: What the user can do if it is damaged.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is damaged. The message names file, place and value.
    """
    return checked(schema, read_json(file, dict, advice), file, advice)


def read_figures(file: Path) -> dict[str, float]:
    """Read the figures of a run, `metrics.json`: name -> number. Those that were not finite are left out.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is damaged. The message names file, place and value.
    """
    figures = checked(_Figures, read_json(file, dict), file, ADVICE).root
    return {name: value for name, value in figures.items() if value is not None}


def read_reported(file: Path) -> list[float | list[float] | None]:
    """Read what was reported of the jobs of a search, see `rim_launcher`.

    Raises:
        ValueError: If it is damaged. The message names file, place and value.
    """
    return checked(_Reported, read_json(file, list), file, ADVICE).root


def read_speed_entries(file: Path) -> list[dict[str, Any]]:
    """Read the rows that rim-speed has measured.

    Raises:
        ValueError: If the file is damaged. The message names file, place and value.
    """
    entries = read_json(file, list)
    checked(_SpeedEntries, entries, file, ADVICE)
    return entries
