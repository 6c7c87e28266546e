"""The folder of results: runs, embeddings and figures that later tables use again."""

from pathlib import Path

from rim_lightning.files import write_json_once
from rim_lightning.runs.records import ResultsRecord, read_record

FORMAT = 2
"""Changes when the keys of kept results change; format 1, of version 0.1, had no file that says so."""


def check_results(folder: Path) -> None:
    """Refuse a folder of results that another version of this package has made.

    Args:
        folder: `paths.results_dir`; it need not exist.

    Raises:
        ValueError: If the folder holds runs and is of another format.
    """
    if not (folder / "runs").is_dir():
        return
    file = _format_file(folder)
    stored = read_record(file, ResultsRecord).format if file.is_file() else 1
    if stored != FORMAT:
        raise ValueError(
            f"{folder} holds results of another version of rim-lightning (format {stored}, this one writes {FORMAT}): "
            "choose another paths.results_dir, or remove that folder."
        )


def open_results(folder: Path) -> None:
    """Make the folder of results if it is missing, and record its format."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json_once(_format_file(folder), {"format": FORMAT})


def _format_file(folder: Path) -> Path:
    return folder / "results.json"
