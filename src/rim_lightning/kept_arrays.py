"""Arrays that are kept to save time and can be made again: what is damaged counts as missing."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rim_lightning.files import open_regular


def read_kept(file: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a `.npz` file.

    Args:
        file: File to read. Nothing in it is unpickled.

    Returns:
        Name -> array; nothing if the file is missing, is no regular file, or cannot be read to its end.
    """
    try:
        with open_regular(file) as stream, np.load(stream, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except Exception:  # numpy, zipfile and zlib raise errors of any kind on damaged bytes
        return {}
