"""rim-pack: pack a prepared set for training on millions of crops."""

import argparse
from pathlib import Path

from rim_lightning import __version__
from rim_lightning.commands.errors import one_sentence
from rim_lightning.data.stores.packed import pack
from rim_lightning.data.stores.prepared import PreparedStore

EPILOG = """examples:
  rim-pack prepared/celeba_128 packed/celeba_128
  rim-train experiment=real_128 data.stores.celeba=packed/celeba_128

An interrupted run goes on where it stopped when the same command is given again.
"""


def main() -> None:
    """Entry point of the `rim-pack` command."""
    parser = argparse.ArgumentParser(
        "rim-pack", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s, version {__version__}")
    parser.add_argument("store", type=Path, help="directory of a prepared set, as rim-prepare leaves it")
    parser.add_argument("output", type=Path, help="directory of the packed set")
    parser.add_argument("--quality", type=int, default=95, help="of the JPEG images, 1 to 100 (%(default)s)")
    arguments = parser.parse_args()
    with one_sentence("rim-pack"):
        store = pack(PreparedStore(arguments.store), arguments.output, arguments.quality)
        before, after = _gigabytes(arguments.store), _gigabytes(store.path)
        print(f"{store.path}: {len(store)} images, {after:.2f} GB instead of {before:.2f} GB")


def _gigabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e9


if __name__ == "__main__":
    main()
