"""Where the configuration files are, and what they ask of the machine."""

import platform
from pathlib import Path

from omegaconf import OmegaConf

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "conf"

CONF_DIR = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1] / "conf"
"""Directory of `prepare.yaml`, `train.yaml`, ...: beside the code of an installed package, at the top of an editable
checkout."""


def cpu_precision() -> str:
    """Lightning's name of the precision in which this CPU trains fastest: "bf16-mixed" or "32-true".

    Without instructions for bf16 a step in it takes up to twenty times as long as in fp32.
    """
    import torch  # not at the top of the file: `--help` should not wait for it

    if platform.machine().lower() in ("x86_64", "amd64"):
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast else "32-true"


OmegaConf.register_new_resolver("cpu_precision", cpu_precision, replace=True)
