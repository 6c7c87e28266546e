"""rim-train: train RIM from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.errors import Hints
from rim_lightning.commands.hydra_command import hydra_command
from rim_lightning.commands.quiet import quiet_lightning
from rim_lightning.extras import require_extra
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import read_origin

if TYPE_CHECKING:
    from omegaconf import DictConfig

HINTS = Hints(
    dead_loader="the last checkpoint is untouched. Check that the memory suffices, then continue with resume=true, "
    "or with workers=0"
)

GROUPS = ("experiment", "system", "model", "data", "objective", "optim", "schedule", "probes", "teacher")
"""Groups of `conf/` that say what is trained."""

RENAMED = {
    "stages": "schedule.stages",
    "alternation": "system.alternation",
    "probe_sizes": "probes",
    "degradation": "probes.degradation",
    "start_from_teacher": "teacher.start_students",
    "verification_pairs": "evaluation.verification_pairs",
    "budget_file": "paths.budget_file",
    "optimised_metric": "optimized_metric",
}
"""Settings of version 0.1 -> their names in this version."""


def check_names(cfg: DictConfig) -> None:
    """Refuse settings of version 0.1, which Hydra adds with a "+" and which nothing would read.

    Raises:
        ValueError: If there is such a setting.
    """
    for old, new in RENAMED.items():
        if old in cfg:
            raise ValueError(f"{old} is called {new} in this version: give {new}=<value>.")


def check_packages(cfg: DictConfig) -> None:
    """Refuse a logger or a network whose package is not installed.

    Raises:
        MissingExtra: If a package is missing.
    """
    if "wandb" in cfg.logger:
        require_extra("wandb", "logger=wandb")
    weights = cfg.teacher.weights
    if weights is not None and weights.get("weight_format") == "facenet_pytorch":
        require_extra("mtcnn", "teacher.weights.weight_format=facenet_pytorch")
    networks = [cfg.model.recognition[part] for part in ("teacher", "student", "assistant")]
    if any(network.get("name") == "inception_resnet_v1" for network in networks):
        require_extra("mtcnn", "The network inception_resnet_v1")


def complete_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the settings of a run: those of the command or, if it resumes without saying what, also those of the run.

    A command that chooses an experiment, a model or another group of `GROUPS` says what to train. Any other command
    with resume=true means the run in its folder: its settings are taken, then those of the command.

    Args:
        overrides: Settings on the command line, which Hydra can read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    settings = {setting_of(override): override for override in overrides}
    if not settings.keys().isdisjoint(GROUPS):
        return list(overrides)
    parser = OverridesParser.create()
    keys = settings.keys() & {"resume", "paths.output_dir", "hydra.run.dir"}
    values = {key: parser.parse_override(settings[key]).value() for key in keys}
    folder = values.get("paths.output_dir", values.get("hydra.run.dir"))
    if values.get("resume") is not True or folder is None:
        return list(overrides)
    origin = read_origin(RunFolder(Path(str(folder))))
    moved = ("paths.output_dir", "resume")  # the run may have been moved since
    earlier = [text for text in (origin.overrides if origin else ()) if setting_of(text) not in moved]
    if earlier:
        from rim_lightning.runs.progress import say  # not at the top of the file: `--help` should not wait for it

        say(f"Resuming with the kept settings: {' '.join(earlier)}")
    return list({**{setting_of(override): override for override in earlier}, **settings}.values())


def check_says_what(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a command that does not say what to train.

    Args:
        cfg: Configuration of the command.
        overrides: Settings of the command, without Hydra's own, and of the run that it resumes.

    Raises:
        ValueError: If there are no settings.
    """
    if {setting_of(override) for override in overrides} <= {"resume"}:
        missing = f"{cfg.paths.output_dir} holds no run to resume. " if cfg.resume else ""
        raise ValueError(
            f"{missing}Say what to train: `rim-train experiment=demo` needs no data and takes minutes; `rim-train "
            "--help` lists the experiments and all settings."
        )


def setting_of(override: str) -> str:
    """Return the name of the setting, or group, that an override of Hydra changes."""
    return override.lstrip("+~").partition("=")[0]


def check_directory(overrides: Sequence[str]) -> None:
    """Refuse several processes that would not agree on the directory of the run.

    Each process would name the directory by its own clock. Lightning passes the name to the processes that it starts
    itself.

    Args:
        overrides: Settings of Hydra on the command line.

    Raises:
        ValueError: If torchrun or SLURM started several processes and `hydra.run.dir` is not given.
    """
    several_processes = int(os.environ.get("SLURM_NTASKS", 1)) > 1 or "TORCHELASTIC_RUN_ID" in os.environ
    if several_processes and not any(override.startswith("hydra.run.dir=") for override in overrides):
        raise ValueError(
            "Several processes were started by torchrun or SLURM: add hydra.run.dir=<directory> to the command, the "
            "same for all, and resume=true to resume it later."
        )


@hydra_command("rim-train", HINTS, complete_overrides)
def main(cfg: DictConfig) -> float | None:
    """Train as `conf/train.yaml` says.

    Returns:
        The figure named by `optimized_metric`, which a sweeper optimizes.
    """
    from hydra.core.hydra_config import HydraConfig

    from rim_lightning.training.run import train  # not at the top of the file: `--help` should not wait for torch

    quiet_lightning(
        ".*in eval mode at the start.*",
        ".*not resumable.*",
        ".*smaller than the logging interval.*|"  # an epoch logs its losses at least once
        ".*when logging on epoch level in distributed setting.*",  # figures are those of all ranks already
    )
    try:
        check_names(cfg)
        check_directory(HydraConfig.get().overrides.hydra)
        overrides = list(HydraConfig.get().overrides.task)
        check_says_what(cfg, overrides)
        check_packages(cfg)
        figures = train(cfg, overrides)
    finally:
        if "wandb" in sys.modules:  # consecutive sweep jobs would otherwise log into one run
            sys.modules["wandb"].finish()
    metric = cfg.optimized_metric
    if not isinstance(metric, str):  # none, or several, which the search reads itself
        return None
    if metric not in figures:
        raise ValueError(f'The run has no figure "{metric}" (optimized_metric); it has {", ".join(figures)}.')
    return figures[metric]


if __name__ == "__main__":
    main()
