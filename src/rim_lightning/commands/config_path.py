"""The folder of the configuration files, the precision of this CPU, and the list of experiments."""

import platform
import re
import sys
from itertools import takewhile
from pathlib import Path

from omegaconf import OmegaConf

from rim_lightning.runs.overrides import quoted

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "conf"

CONF_DIR = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1] / "conf"
"""Folder of `train.yaml` and the others. An installed package has it beside its code, a checkout has it at its top."""


def cpu_precision() -> str:
    """Return Lightning's name of the precision in which this CPU trains fastest: "bf16-mixed" or "32-true".

    On a CPU without instructions for bf16, a step in bf16 takes up to twenty times as long as in fp32.
    """
    if {"--help", "-h"} & set(sys.argv):  # Hydra reads it to show the settings
        return "32-true"
    import torch  # not at the top of the file: `--help` should not wait for it

    if platform.machine().lower() in ("x86_64", "amd64"):
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        has_bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if has_bf16 else "32-true"


def experiments() -> str:
    """List the experiments for `rim-train --help`: one line per file of `conf/experiment/`, with its name and purpose.

    The purpose is the first sentence of the comment below the command of the experiment.
    """
    return "\n".join(
        f"  {file.stem:<19} {_purpose(file.read_text(encoding='utf-8'))}"
        for file in sorted((CONF_DIR / "experiment").glob("*.yaml"))
    )


def _purpose(experiment: str) -> str:
    comment = [
        line.removeprefix("#").strip() for line in takewhile(lambda line: line[:1] == "#", experiment.splitlines())
    ]
    text = " ".join(comment[2:])  # the first line names the package, the second one is the command
    return re.split(r"(?<=\.) (?=[A-Z])", text)[0]


OmegaConf.register_new_resolver("experiments", experiments, replace=True)
OmegaConf.register_new_resolver("quoted", quoted, replace=True)
OmegaConf.register_new_resolver("cpu_precision", cpu_precision, replace=True)
