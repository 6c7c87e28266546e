"""Where the configuration files are: beside the code of an installed package, at the top of an editable checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "conf"

CONF_DIR = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1] / "conf"
"""Directory of `prepare.yaml`, `train.yaml`, ... for every entry point."""
