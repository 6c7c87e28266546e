"""What `rim-prepare download=<set>` does before it prepares: terms, a question, and the files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rim_lightning.data.downloads.fetch import RemoteFile

NOT_ACCEPTED = 2
"""Exit code if the terms of a set were not accepted."""


def fetch_set(cfg: DictConfig) -> None:
    """Fetch the files of the data set that `download` names, if some are missing.

    Terms and sizes are printed first. Without `accept=true` a person at a terminal is asked.

    Args:
        cfg: Settings of rim-prepare.

    Raises:
        SystemExit: If the terms are not accepted. Nothing has been received then.
        ValueError: If a setting is wrong, the disk has no room, or what was received is not the file.
        OSError: If the network or the disk fails.
        MissingExtra: If a package is missing.
    """
    from rim_lightning.data.downloads.fetch import check_before, fetch, missing_files
    from rim_lightning.files import check_folder
    from rim_lightning.runs.progress import say

    data_dir = Path(cfg.paths.data_dir)
    files = remote_files(cfg)
    missing = missing_files(files, data_dir)
    if not missing:
        say(f"{cfg.download.title}: all files are in {data_dir}")
        return
    check_folder(data_dir, "paths.data_dir")
    check_before(missing, data_dir, cfg.download.title)
    say(*terms(cfg, missing))
    if not cfg.accept:
        _ask(cfg.download.title)
    fetch(files, data_dir)


def remote_files(cfg: DictConfig) -> list[RemoteFile]:
    """Return the files of the data set that `download` names.

    Args:
        cfg: Settings of rim-prepare.

    Raises:
        ValueError: If a file lacks an entry or has an unknown one.
    """
    from omegaconf import OmegaConf

    from rim_lightning.data.downloads.fetch import RemoteFile

    files = []
    entries: Any = OmegaConf.to_container(cfg.download.files, resolve=True, throw_on_missing=True)
    for key, entry in entries.items():
        setting = f"download.files.{key}"
        given, wanted = set(entry or ()), set(RemoteFile._fields) - {"setting"}
        if given != wanted:
            raise ValueError(f"{setting} must have the entries {', '.join(sorted(wanted))}; see conf/download.")
        files.append(RemoteFile(setting=setting, **entry))
    return files


def terms(cfg: DictConfig, files: list[RemoteFile]) -> list[str]:
    """Return what a person reads before a download: the terms of the set, and what will be received.

    Args:
        cfg: Settings of rim-prepare.
        files: The files that are missing.
    """
    lines = [f"{cfg.download.title} ({cfg.download.page})", *str(cfg.download.terms).strip().splitlines(), ""]
    for file in files:
        size = f"{file.megabytes:g} MB" if file.megabytes is not None else "size not published"
        digest = "checked by its digest" if file.sha256 or file.md5 else "no digest is published"
        lines.append(f"  {file.name}: {size}, {digest}, to {Path(cfg.paths.data_dir, file.place)}")
        lines.append(f"    from {file.url}")
    total = sum(file.megabytes or 0 for file in files)
    return [*lines, f"  together {total:,.0f} MB of published sizes; {len(files)} files"]


def _ask(title: str) -> None:
    """End the command unless a person at the terminal accepts the terms."""
    import click

    if sys.stdin is not None and sys.stdin.isatty():
        if click.confirm(f"Do you accept these terms, and fetch {title}?", default=False):
            return
        sentence = "the terms were not accepted, so nothing was fetched."
    else:
        sentence = "read the terms above; if you accept them, add accept=true to the command."
    print(f"rim-prepare: {sentence}", file=sys.stderr)
    raise SystemExit(NOT_ACCEPTED)
