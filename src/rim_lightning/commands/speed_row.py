"""rim_lightning.commands.speed_row."""

import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from pytorch_lightning.utilities import rank_zero_only

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.files import write_json
from rim_lightning.speed.step import measure_training


def main() -> None:
    """Measure one row of rim-speed: `python -m rim_lightning.commands.speed_row <result.json> <steps> <epochs> <overrides>`,
    in a process of its own, so that rows share neither memory nor compiled code.
    """
    result, steps, epochs, *overrides = sys.argv[1:]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("train", overrides=[f"paths.output_dir={Path(result).parent}", *overrides])
    figures = measure_training(cfg, int(steps), int(epochs))
    if rank_zero_only.rank == 0:
        write_json(Path(result), figures)


if __name__ == "__main__":
    main()
