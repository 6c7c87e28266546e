"""rim-pack: pack a prepared set for training on millions of crops."""

from pathlib import Path

from rim_lightning.commands.command_parser import command_parser
from rim_lightning.commands.errors import one_sentence
from rim_lightning.extras import require_extra

EXAMPLES = """Examples:
  rim-pack prepared/celeba_128 packed/celeba_128
  rim-train experiment=real_128 data.stores.celeba=packed/celeba_128

To resume an interrupted run, repeat the command.
"""


def main() -> None:
    """Pack a prepared set as the command line says."""
    parser = command_parser("rim-pack", "pack a prepared set for training on millions of crops.", EXAMPLES)
    parser.add_argument("store", type=Path, help="directory of a prepared set, as rim-prepare leaves it")
    parser.add_argument("output", type=Path, help="directory of the packed set")
    parser.add_argument("--quality", type=int, default=95, help="quality of the JPEG pictures, 1 to 100 (%(default)s)")
    arguments = parser.parse_args()
    with one_sentence("rim-pack"):
        require_extra("packed", "A packed set")
        from rim_lightning.data.stores.packed import pack  # not at the top: `--help` should not wait for it
        from rim_lightning.data.stores.prepared import PreparedStore
        from rim_lightning.runs.progress import say

        store = pack(PreparedStore(arguments.store), arguments.output, arguments.quality)
        before, after = _gigabytes(arguments.store), _gigabytes(store.path)
        say(f"{store.path}: {len(store)} images, {after:.2f} GB instead of {before:.2f} GB")


def _gigabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e9


if __name__ == "__main__":
    main()
