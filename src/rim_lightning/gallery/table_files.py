"""Files of a gallery in a local folder: on the disk before they count, and gone when they should be."""

import os
from pathlib import Path

from rim_lightning.files import synchronize, write_json
from rim_lightning.json_files import read_json

RECORD = "durable.json"
VERSIONS, MANIFEST = "_versions", ".manifest"
NEWEST = 2**64 - 1  # Lance names the manifest of version v by this number minus v, earlier Lance by v


class TableFiles:
    """Files of a Lance table. Lance does not wait until they are on the disk.

    After each change they are written to the disk, and then a record names the version that is there as a whole. What
    is newer than the record was being written when the power failed, or is being written now.

    Args:
        table: Folder of the table.
        record: File with the number of the newest version that is on the disk.
    """

    def __init__(self, table: Path, record: Path) -> None:
        self._table, self._record = table, record

    @property
    def durable(self) -> int | None:
        """Newest version that is known to be on the disk. None for a gallery of an earlier version of this package.

        Raises:
            ValueError: If the record is damaged.
        """
        if not self._record.is_file():
            return None
        version = read_json(self._record, dict, "remove it").get("version")
        if type(version) is not int or not 1 <= version < NEWEST:
            raise ValueError(f"{self._record} is damaged, it names no version: remove it.")
        return version

    def all(self) -> set[Path]:
        """Return all files of the table."""
        return {Path(folder) / name for folder, _, names in os.walk(self._table) for name in names}

    def are_none(self) -> bool:
        """Return True if the table was never made: the disk was full, and it has neither rows nor a version."""
        return self.durable is None and not any(file.suffix in (MANIFEST, ".lance") for file in self.all())

    def settle(self, before: set[Path], version: int) -> None:
        """Wait until new files are on the disk, then record the version.

        Args:
            before: Files that are on the disk already.
            version: Version of the table.

        Raises:
            OSError: If they cannot be written.
        """
        new = self.all() - before | set(self._table.glob(f"{VERSIONS}/*.json"))  # a hint that Lance writes again
        for place in sorted(new) + sorted({file.parent for file in new}):
            synchronize(place, inside=False)
        synchronize(self._table, inside=False)
        synchronize(self._table.parent, inside=False)
        write_json(self._record, {"version": version})

    def remove(self, files: set[Path]) -> None:
        """Remove files of versions that were overwritten, for good.

        Args:
            files: The files.

        Raises:
            OSError: If one cannot be removed.
        """
        obsolete = {file for file in files if file.parent.name != VERSIONS or file.suffix == MANIFEST}
        for file in obsolete:
            file.unlink(missing_ok=True)
        for folder in {file.parent for file in obsolete}:
            synchronize(folder, inside=False)

    def drop_unfinished(self) -> bool:
        """Remove the versions that are newer than the record, if that one is there. Return True if there was one."""
        durable = self.durable
        version_of = {file: _version(file) for file in self._table.glob(f"{VERSIONS}/*{MANIFEST}")}
        if durable is None or durable not in version_of.values():
            return False
        unfinished = [file for file, version in version_of.items() if version > durable]
        for file in [*unfinished, *(self._table.glob(f"{VERSIONS}/*.json") if unfinished else ())]:
            file.unlink()
        return bool(unfinished)


def _version(manifest: Path) -> int:
    number = int(manifest.stem) if manifest.stem.isascii() and manifest.stem.isdigit() else 0  # 0 is no version
    return NEWEST - number if number > NEWEST // 2 else number
