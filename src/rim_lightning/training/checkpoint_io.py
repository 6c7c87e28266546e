"""Checkpoint files that are written in one piece and recognized when they are damaged."""

import hashlib
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from rim_lightning.files import whole_file, write_text
from rim_lightning.networks.checkpoints import (
    DamagedCheckpoint,
    check_digest,
    digest_file,
    recorded_digests,
    upgrade_checkpoint,
)
from rim_lightning.networks.torch_files import check_torch_file


class VerifiedCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint in one piece, keeps its SHA-256 beside it, and checks the digest on loading.

    Before a new checkpoint takes its place, the digests file names both it and the earlier one; afterwards it names the
    new one alone. Whenever the process dies, the checkpoint that lies there is named.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save a checkpoint, or leave the earlier one as it is.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for stale in path.parent.glob(f".{path.name}.*.part"):  # of a process that was killed while it wrote
                stale.unlink()
            with whole_file(path) as part:
                with open(part, "wb") as file:
                    writer = _HashingWriter(file)
                    torch.save(checkpoint, cast(IO[bytes], writer))
                digest = writer.digest.hexdigest()
                _write_digests(path, [digest, *recorded_digests(path)])
            _write_digests(path, [digest])
        except (OSError, RuntimeError) as error:  # torch hides the error of the file in a RuntimeError
            cause = error if isinstance(error, OSError) else error.__context__ or error
            raise OSError(
                f"The checkpoint {path} could not be written ({cause}); an earlier one there is untouched: free space, "
                "then repeat the command with resume=true."
            ) from error

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint whose digest is right.

        Raises:
            DamagedCheckpoint: If its content is not what was written.
            FileNotFoundError: If there is none.
        """
        check_digest(path)
        try:
            check_torch_file(path)
        except ValueError as error:
            raise DamagedCheckpoint(f"{path} is not a checkpoint of rim-train, or is damaged ({error}).") from error
        return upgrade_checkpoint(super().load_checkpoint(path, *args, **kwargs))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its digests."""
        super().remove_checkpoint(path)
        digest_file(path).unlink(missing_ok=True)


def _write_digests(path: Path, digests: list[str]) -> None:
    write_text(digest_file(path), "\n".join(digests) + "\n")


class _HashingWriter:
    """A binary file that computes the digest of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
