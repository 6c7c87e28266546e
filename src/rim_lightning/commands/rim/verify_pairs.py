"""`rim verify --pairs`: answer a list of pairs of pictures, and go on where an interruption stopped."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.rim.answer_table import PAIR_COLUMNS, Output, write_answers
from rim_lightning.commands.rim.face_choice import FaceChoice
from rim_lightning.commands.rim.model_choice import ModelChoice
from rim_lightning.commands.rim.options import Decision, Place
from rim_lightning.commands.rim.output import echo_json, exit_if_left_out
from rim_lightning.inference.verdict import in_words, shown_apart

if TYPE_CHECKING:
    from rim_lightning.inference.picture_pairs import PairAnswer, PairComparer, PairList, PicturePair
    from rim_lightning.inference.recognizer import Recognizer, Verification

CHUNK = 32
"""Pairs that are answered at once, and then written to the disk."""
RULES = 2
"""Version of the columns. Answers of another version are not gone on with."""

_DIFFERENT = {
    "pairs": "another content of the list",
    "folder": "a list in another folder",
    "model": "another model",
    "thresholds": "other thresholds",
}
"""Entry of the question -> what is different if it is another one; any other entry is an option."""


class PictureArgument(click.Argument):
    """PROBE or GALLERY, which `--pairs` names instead."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the path; fail if it is missing without `--pairs`, or given with it."""
        if not isinstance(ctx.params.get("pairs"), Path):  # it was left out
            return super().process_value(ctx, value)
        if not self.value_is_missing(value):
            raise click.UsageError("The list of --pairs names the pictures: leave PROBE and GALLERY out.", ctx)
        return None


pairs_option = click.option(
    "--pairs",
    type=Place(),
    is_eager=True,  # before the arguments, which it replaces
    help="Answer all pairs of a CSV file with the columns probe and gallery, whose paths are relative to its folder.",
)


def verify_pairs(model: ModelChoice, file: Path, choice: FaceChoice, decision: Decision, output: Output) -> NoReturn:
    """Answer the pairs of a list; see `rim verify`."""
    from rim_lightning.inference.picture_pairs import PairComparer, read_pair_list
    from rim_lightning.runs.progress import say
    from rim_lightning.runs.signals import stopped_by_signals

    if choice.every or choice.face is not None or choice.gallery_face is not None:
        raise click.UsageError("--pairs takes the largest face of each picture: leave the choice of faces out.")
    pairs = read_pair_list(file, PAIR_COLUMNS)
    _check_output(output, file, pairs)
    with nullcontext() if output.table is None else _alone(output.table):
        recognizer = decision.load(model)
        comparer = PairComparer(recognizer, decision.far, choice.aligned, decision.size, sentence_of)
        journal = None
        if output.table is not None:
            question = _question(recognizer, model, file, choice, decision)
            journal = PairJournal(output.table, question, len(pairs.pairs), output.overwrite)
            if journal.answered:
                say(f"{len(journal.answered)} of {len(pairs.pairs)} pairs were answered before", err=True)
        answers = dict(journal.answered) if journal else {}
        quiet = output.as_json or journal is not None
        with stopped_by_signals(
            "repeat the command to resume" if journal else "with --csv the answers would stay, too"
        ):
            for number, answer in _answered(comparer, pairs, journal, frozenset(answers)):
                answers[number] = answer
                if not quiet:
                    say(_line(pairs.pairs[number], answer))
        columns = ("probe", "gallery", *pairs.extra)
        rows = [
            dict(zip(columns, (pair.probe, pair.gallery, *pair.extra), strict=True)) | answers[number]
            for number, pair in enumerate(pairs.pairs)
        ]
        if output.table is not None and journal is not None:
            write_answers(output.table, (*columns, *PAIR_COLUMNS), rows)
            journal.remove()
    _report(recognizer, rows, decision.far, output)


def answer_row(answer: Verification, notes: Iterable[str] = ()) -> dict[str, Any]:
    """Return the row of an answer in a table, without the pictures."""
    return {
        "probe_size": answer.probe_size,
        "gallery_size": answer.gallery_size,
        "similarity": answer.similarity,
        "threshold": answer.threshold,
        "accepted": answer.accepted,
        "log10_ratio": None if answer.ratio is None else answer.ratio.log10,
        "far": answer.far,
        "frr": answer.frr,
        "quality": None if answer.quality is None else answer.quality.score,
        "missed": None if answer.quality is None else answer.quality.missed,
        "notes": "; ".join(notes) or None,
        "error": None,
    }


class PairJournal:
    """The answers so far, a line each with its checksum, beside the table that is written at the end.

    A line that was cut off does not count: its pair is answered again.

    Args:
        table: The table.
        question: What is asked: the list, the model and the options.
        count: Number of pairs.
        anew: True to begin again if the file holds answers to another question.

    Attributes:
        path: The file, in the folder of the table. Its name begins with a dot.
        answered: Number of a pair, from 0 -> column -> value.

    Raises:
        ValueError: If the file holds answers to another question, or is damaged.
        OSError: If it cannot be read or written.
    """

    def __init__(self, table: Path, question: dict[str, Any], count: int, anew: bool) -> None:
        from rim_lightning.files import read_bytes, whole_file
        from rim_lightning.json_files import checked_line

        self.path = _beside(table, ".answers.jsonl")
        self.answered: dict[int, dict[str, Any]] = {}
        if self.path.exists():
            first, *lines = read_bytes(self.path, "remove it").splitlines() or [b""]
            earlier = _content_of(first)
            if earlier == question:
                self.answered = dict(_known_answers(lines, count))
            elif not anew:
                raise ValueError(self._refusal(table, earlier, question))
        with whole_file(self.path) as part:
            part.write_bytes(checked_line(question) + _lines(self.answered))

    def add(self, answers: Mapping[int, Mapping[str, Any]]) -> None:
        """Add answers, and wait until they are on the disk.

        Raises:
            OSError: If they cannot be written.
        """
        from rim_lightning.files import full_disk_named

        with full_disk_named(self.path), self.path.open("ab") as file:
            file.write(_lines(answers))
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Remove the file: the table is written."""
        self.path.unlink(missing_ok=True)

    def _refusal(self, table: Path, earlier: Any, question: Mapping[str, Any]) -> str:
        """Return why the answers of the file are not gone on with."""
        if not isinstance(earlier, dict):
            return f"{self.path}, which holds the answers for {table}, is damaged: remove it to begin again."
        different = next((key for key in question if earlier.get(key) != question[key]), "rules")
        return (
            f"{table} was begun with {_DIFFERENT.get(different, f'another value of {different}')}: choose another "
            f"file, or add --overwrite to begin again. {self.path} holds the answers so far."
        )


def _beside(table: Path, ending: str) -> Path:
    """Return a hidden file beside a table, whose name is never too long."""
    from rim_lightning.files import MAX_NAME, shortened

    return table.with_name(f".{shortened(table.name, MAX_NAME - len(ending) - 1)}{ending}")


@contextmanager
def _alone(table: Path) -> Iterator[None]:
    """Keep other commands from answering for the same table while the block runs: they would lose each other's answers.

    Raises:
        ValueError: If another one does so.
    """
    from filelock import Timeout

    from rim_lightning.locks import process_lock

    file = _beside(table, ".answers.lock")
    lock = process_lock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"Another command answers the pairs for {table}: wait until it ends, or choose another file."
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is locked
            file.unlink()
        lock.release()


def _lines(answers: Mapping[int, Mapping[str, Any]]) -> bytes:
    """Return the lines of answers in a journal."""
    from rim_lightning.json_files import checked_line

    return b"".join(
        checked_line([number, [answer[column] for column in PAIR_COLUMNS]]) for number, answer in answers.items()
    )


def _known_answers(lines: Iterable[bytes], count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and answer of the whole lines of a journal."""
    for line in lines:
        match _content_of(line):
            case [int(number), [*values]] if 0 <= number < count and len(values) == len(PAIR_COLUMNS):
                answer = dict(zip(PAIR_COLUMNS, values, strict=True))
                if _is_answer(answer):
                    yield number, answer


def _is_answer(answer: Mapping[str, Any]) -> bool:
    """Return True if the values of an answer are of their types: somebody else may have written them."""
    if not all(answer[column] is None or isinstance(answer[column], str) for column in ("notes", "error")):
        return False
    if not all(answer[column] is None or isinstance(answer[column], float | int) for column in ("quality", "missed")):
        return False
    needed = ("probe_size", "gallery_size", "similarity", "threshold", "far", "frr")
    numbers = [answer[column] for column in needed]
    if answer["error"] is None:
        return isinstance(answer["accepted"], bool) and all(isinstance(value, float | int) for value in numbers)
    return answer["accepted"] is None and all(value is None for value in numbers)


def _content_of(line: bytes) -> Any:
    """Return the content of a line; None if it is damaged."""
    from rim_lightning.json_files import from_checked_line

    try:
        return from_checked_line(line)
    except ValueError:
        return None


def _question(
    recognizer: Recognizer, model: ModelChoice, file: Path, choice: FaceChoice, decision: Decision
) -> dict[str, Any]:
    """Return everything that decides the answers, for a JSON file."""
    from rim_lightning.files import content_digest, real_path

    thresholds = json.dumps(recognizer.required_calibration(pairs=True).to_plain())
    return {
        "rules": RULES,
        "pairs": content_digest(file),
        "folder": os.fsencode(real_path(file.parent)).decode(errors="backslashreplace"),
        "model": f"{recognizer.probe_fingerprint} {recognizer.embedder.usage.to_plain()}",
        "thresholds": hashlib.sha256(thresholds.encode()).hexdigest(),
        "--far": decision.far,
        "--size": decision.size,
        "--aligned": choice.aligned,
        "--detector": model.detector,
    }


def _check_output(output: Output, file: Path, pairs: PairList) -> None:
    """Check before any work that the table can be written."""
    replaces = output.table is not None and output.table.exists()
    pictures = {name for pair in pairs.pairs for name in pair[:2]} if replaces else set()
    output.check([file, *(pairs.folder / name for name in pictures)])


def _answered(
    comparer: PairComparer, pairs: PairList, journal: PairJournal | None, known: frozenset[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and row of the pairs that are not known, once they are in the journal."""
    from rim_lightning.runs.progress import progress_bar

    numbers = [number for number in range(len(pairs.pairs)) if number not in known]
    before = len(pairs.pairs) - len(numbers)
    with progress_bar(total=len(pairs.pairs), initial=before, desc="verifying", unit="pair", leave=False) as bar:
        for start in range(0, len(numbers), CHUNK):
            chunk = numbers[start : start + CHUNK]
            paths = [
                (pairs.folder / pair.probe, pairs.folder / pair.gallery) for pair in map(pairs.pairs.__getitem__, chunk)
            ]
            rows = dict(zip(chunk, map(_plain, comparer.answers(paths)), strict=True))
            if journal is not None:
                journal.add(rows)
            yield from rows.items()
            bar.update(len(chunk))


def _plain(answer: PairAnswer) -> dict[str, Any]:
    """Return the row of an answer, or of a pair without one."""
    if answer.verification is None:
        return dict.fromkeys(PAIR_COLUMNS) | {"notes": "; ".join(answer.notes) or None, "error": answer.error}
    return answer_row(answer.verification, answer.notes)


def _line(pair: PicturePair, answer: Mapping[str, Any]) -> str:
    """Return the line of a pair."""
    names = f"{pair.probe}, {pair.gallery}"
    if answer["error"]:
        return f"{names}: not answered: {answer['error']}"
    side = "above" if answer["accepted"] else "below"
    compared = "similarity {}, threshold {}".format(*shown_apart(answer["similarity"], answer["threshold"]))
    notes = f" ({answer['notes']})" if answer["notes"] else ""
    return f"{names}: {side}: {compared}, for a probe of {answer['probe_size']:.0f} px{notes}"


def _report(recognizer: Recognizer, rows: list[dict[str, Any]], far: float, output: Output) -> NoReturn:
    """Say what holds for all answers, and end the command."""
    from rim_lightning.runs.progress import say

    answered = [row for row in rows if not row["error"]]
    chosen_on = recognizer.required_calibration(pairs=True).chosen_on
    if output.as_json:
        echo_json({"far": far, "chosen_on": chosen_on._asdict(), "pairs": rows})
    else:
        above = sum(row["accepted"] for row in answered)
        say(f"{len(answered)} of {len(rows)} pairs answered; {above} above the threshold ({in_words(far)})")
        if answered:
            say(f"measured on {chosen_on.in_words()}")
        if output.table is not None:
            say(f"written to {output.table}")
            if len(answered) < len(rows):
                say("the column error says why the others were not answered", err=True)
    exit_if_left_out(len(rows) - len(answered), len(answered))
    sys.exit(0)
