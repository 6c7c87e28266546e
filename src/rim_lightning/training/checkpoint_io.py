"""Checkpoint files that are whole or not there, and that are recognized when they are damaged."""

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from rim_lightning.networks.checkpoints import check_digest, digest_file, recorded_digests, upgrade_checkpoint


class VerifiedCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name, then renames it; keeps its SHA-256 beside it and checks it on loading.

    Before the rename the digests file names the new checkpoint and all that may lie there, after it the new one alone:
    whenever the process dies, and however often, the checkpoint that lies there is named.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save the checkpoint, or leave the earlier one as it is.

        Raises:
            OSError: it cannot be written, e.g. because the disk is full.
        """
        path = Path(path)
        part = path.with_name(path.name + ".part")
        digests = digest_file(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                writer = _HashingWriter(file)
                torch.save(checkpoint, writer)
                file.flush()
                os.fsync(file.fileno())
            digest = writer.digest.hexdigest()
            _write(digests, [digest, *recorded_digests(path)])
            os.replace(part, path)
            _write(digests, [digest])
        except (OSError, RuntimeError) as error:  # torch hides the error of the file in a RuntimeError
            part.unlink(missing_ok=True)
            cause = error if isinstance(error, OSError) else error.__context__ or error
            raise OSError(
                f"The checkpoint {path} could not be written ({cause}); an earlier one there is untouched: free space, "
                "then go on with resume=true."
            ) from error

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint whose digest is right. Raises `DamagedCheckpoint`; FileNotFoundError."""
        check_digest(path)
        return upgrade_checkpoint(super().load_checkpoint(path, *args, **kwargs))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its digests."""
        super().remove_checkpoint(path)
        digest_file(path).unlink(missing_ok=True)


def _write(digests: Path, lines: list[str]) -> None:
    part = digests.with_name(digests.name + ".part")
    part.write_text("\n".join(lines) + "\n")
    os.replace(part, digests)


class _HashingWriter:
    """A file to write to that remembers the digest of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
