"""How a run was started: the record `origin.json` in its folder, with which a run that is resumed is compared."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rim_lightning.files import write_json
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.progress import say

START_SETTINGS = ("start_from", "students_from")
"""Settings that name a checkpoint or the folder of a model from whose networks a run starts."""


class Origin(NamedTuple):
    """How a run was started, as `origin.json` in its folder says.

    Attributes:
        overrides: Settings of the command.
        version: Version of this package.
        processes: Number of processes that trained.
        stores: Name of a prepared set -> digest of its manifest.
        files: Setting -> digest of the file that it names, see `training.resume.digests_of_files`.
    """

    overrides: Sequence[str]
    version: str
    processes: int
    stores: Mapping[str, str]
    files: Mapping[str, str]

    def write(self, folder: RunFolder) -> None:
        """Write `origin.json`."""
        write_json(folder.origin, self._asdict())

    def check(self, start: "Origin", folder: RunFolder) -> None:
        """Refuse to resume a run with other processes, faces or files. Say so if another version started it.

        Args:
            start: How the run was started.
            folder: Folder of the run.

        Raises:
            ValueError: If something differs that the training depends on.
        """
        start_anew = "or start a new run in another hydra.run.dir"
        if self.processes != start.processes:
            raise ValueError(
                f"The run in {folder.path} was trained by {start.processes} processes, now there are {self.processes}: "
                f"set trainer.devices and trainer.num_nodes as they were, {start_anew}."
            )
        for name, digest in start.stores.items():
            if self.stores.get(name, digest) != digest:
                raise ValueError(
                    f"The run in {folder.path} was trained on other faces than those that the set {name} holds now: "
                    f"prepare them as they were, {start_anew}."
                )
        for key, digest in start.files.items():
            if self.files.get(key, digest) != digest:
                raise ValueError(
                    f"The run in {folder.path} was started with another file as {key}: give that one, {start_anew}."
                )
        if self.version != start.version:
            say(
                f"The run in {folder.path} was started by version {start.version}; version {self.version} resumes it, "
                "which may not end exactly as that one would have.",
            )


def read_origin(folder: RunFolder) -> Origin | None:
    """Read how the run in a folder was started; None if it was not, or by a version that wrote no `origin.json`.

    Raises:
        ValueError: If the file is damaged.
    """
    if not folder.origin.is_file():
        return None
    from rim_lightning.runs.records import OriginRecord, read_record

    advice = "it is damaged, or another version wrote it: resume the run with that one, or start a new run"
    record = read_record(folder.origin, OriginRecord, advice)
    return Origin(*(getattr(record, name) for name in Origin._fields))
