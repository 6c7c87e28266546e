"""One row of rim-speed, measured in a process of its own: rows share neither memory nor compiled code."""

import os
import sys
import threading
from pathlib import Path

from hydra import compose, initialize_config_dir
from pytorch_lightning.utilities import rank_zero_only

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.errors import one_sentence
from rim_lightning.files import write_json
from rim_lightning.runs.overrides import override
from rim_lightning.speed.step import measure_training


def main() -> None:
    """Measure one row: `python -m rim_lightning.commands.speed_row <result.json> <steps> <epochs> <overrides>`."""
    result, steps, epochs, *overrides = sys.argv[1:]
    threading.Thread(target=_end_with_input, daemon=True).start()
    with one_sentence("rim-speed"):
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            cfg = compose("train", overrides=[override("paths.output_dir", Path(result).parent), *overrides])
        figures = measure_training(cfg, int(steps), int(epochs))
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # Lightning sets it when it is imported
            write_json(Path(result), figures)


def _end_with_input() -> None:
    """End this process when rim-speed, which holds the other end of the input, has ended.

    `sys.stdin` would be locked meanwhile, and a process that is forked from this one waits for that lock for ever.
    """
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
