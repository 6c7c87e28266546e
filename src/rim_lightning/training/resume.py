"""What may change when a run is resumed. Everything else must be as it was, or two trainings would be mixed."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rim_lightning.networks.checkpoints import DamagedCheckpoint, check_digest
from rim_lightning.networks.torch_files import check_torch_file
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import START_SETTINGS
from rim_lightning.runs.state import read_state
from rim_lightning.training.finite_watch import NonFiniteLoss
from rim_lightning.training.start import start_digest

MAY_CHANGE = (
    *("resume", "name", "evaluate", "optimized_metric"),
    *("workers", "threads", "data.workers", "data.eval_batch_size"),
    *("paths.*", "data.directory", "sources", "sources.*"),  # a mapping without entries is a value of its own
    *("evaluation.probe_sizes", "evaluation.flip", "evaluation.batch_size", "evaluation.panel_faces"),
    *("evaluation.degradation", "evaluation.misalignment", "evaluation.shift"),
    *("evaluation.mixture", "evaluation.reduced_gallery", "data.validation_faces"),
    *("probes.camera_validation", "system.probes.camera_validation"),
    *("evaluation.sr.*", "evaluation.identities", "evaluation.identities.*", "evaluation.lfw.*"),
    *("logger", "logger.*", "trainer.log_every_n_steps", "trainer.enable_progress_bar"),
    *("callbacks.progress*", "callbacks.throughput*", "callbacks.wandb*", "callbacks.last*", "callbacks.best*"),
    *("trainer.check_val_every_n_epoch", "trainer.limit_val_batches", "trainer.num_sanity_val_steps"),
)
"""Settings with which a resumed run still ends like an undisturbed one, as patterns of their names.

Beside them, the epochs of the stage that is being trained and of later stages may change, and stages may be added. A
file or a prepared set may lie elsewhere as long as its content is the same. After a loss that was not finite, which
nothing else can end, `AFTER_DIVERGENCE` may change too. Versions add settings: one that is null may come or go.
"""
AFTER_DIVERGENCE = ("optim.clip", "system.clip")
FILES = ("teacher.weights.path", *START_SETTINGS)
"""Settings that name a file whose content decides the training."""
MISSING = "not set"
NULL = ((MISSING, None), (None, MISSING))
SHOWN = 4  # differences in the message


class Difference(NamedTuple):
    """A setting that a resumed run may not change.

    Attributes:
        key: Its dotted name.
        before: Its value in the run.
        now: Its value in the command.
    """

    key: str
    before: Any
    now: Any


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        finished: Number of finished epochs.
        begun: Number of epochs that have begun.
        diverged: True if the run stopped because a loss was not finite.
    """

    finished: int
    begun: int
    diverged: bool = False


def differences(run: Mapping[str, Any], command: Mapping[str, Any], progress: Progress) -> list[Difference]:
    """List the settings that keep a run from being resumed.

    Args:
        run: Configuration of the run, plain containers.
        command: Configuration of the command that resumes it, plain containers.
        progress: How far the run is.
    """
    stages_fit = _stages_fit(run, command, progress)
    before, now = _flat(run), _flat(command)
    refused: list[Difference] = []
    for key in [*before, *(key for key in now if key not in before)]:
        difference = Difference(key, before.get(key, MISSING), now.get(key, MISSING))
        if difference.before == difference.now or _may_change(difference, run, stages_fit):
            continue
        if progress.diverged and key in AFTER_DIVERGENCE:
            continue
        refused.append(difference)
    return _without_copies(refused)


def read_progress(folder: RunFolder) -> Progress:
    """Return how far the training in a folder is by its last checkpoint; nothing is trained if there is none.

    Raises:
        DamagedCheckpoint: If the checkpoint is damaged.
    """
    if not folder.last_checkpoint.is_file():
        return Progress(0, 0)
    check_digest(folder.last_checkpoint)
    diverged = read_state(folder.path).message.startswith(NonFiniteLoss.__name__)
    try:
        check_torch_file(folder.last_checkpoint)
        content = torch.load(folder.last_checkpoint, map_location="cpu", weights_only=True, mmap=True)
        epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]
        return Progress(int(epochs["processed"]), int(epochs["ready"]), diverged)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(
            f"{folder.last_checkpoint} is not a checkpoint that a run can be resumed from: restore it from a copy, or "
            "start a new run."
        ) from error


def digests_of_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the files that decide the training: setting -> SHA-256.

    Args:
        settings: Configuration of a run, plain containers.

    Raises:
        FileNotFoundError: If such a file is missing.
    """
    flat = _flat(settings)
    return {key: start_digest(flat[key]) for key in FILES if isinstance(flat.get(key), str)}


def refusal(folder: Path, refused: Sequence[Difference]) -> str:
    """Return the sentence that refuses to resume a run with other settings."""
    named = "; ".join(f"{key} was {before} and is now {now}" for key, before, now in refused[:SHOWN])
    more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    return (
        f"The run in {folder} was started with other settings: {named}{more}. Give the kept values, or leave all "
        f"settings out: `{RunFolder(folder).resume_command}` takes those that were given; a default that another "
        "version of this package has changed must be given as it was. Only epochs that are not trained yet, paths, "
        "workers, threads, the evaluation, loggers and callbacks that only watch may change; for anything else start a "
        "new run in another hydra.run.dir."
    )


def _may_change(difference: Difference, run: Mapping[str, Any], stages_fit: bool) -> bool:
    key, values = difference.key, (difference.before, difference.now)
    if any(fnmatchcase(key, pattern) for pattern in MAY_CHANGE) or values in NULL:
        return True
    if key.removeprefix("system.") in FILES or key.startswith("system.teacher_weights"):
        return MISSING not in values and None not in values
    if fnmatchcase(key, "data.stores.*"):
        return MISSING not in values
    if key == "data.samples_per_epoch":
        return bool(run.get("budget") or run.get("work"))  # measured, and kept in the file of the budget
    return stages_fit and (key.startswith(("schedule.stages.", "system.schedule.stages.")))


def _stages_fit(run: Mapping[str, Any], command: Mapping[str, Any], progress: Progress) -> bool:
    """Return True if the stages differ in epochs that are not trained yet alone."""
    try:
        before, after = ([dict(stage) for stage in settings["schedule"]["stages"]] for settings in (run, command))
    except (KeyError, TypeError):
        return False
    if len(after) < len(before):
        return False
    end = 0
    for number, (old, new) in enumerate(zip(before, after, strict=False)):
        start, end = end, end + old["epochs"]
        if {**old, "epochs": 0} != {**new, "epochs": 0}:
            return False
        over = end <= progress.finished and number < len(before) - 1
        if new["epochs"] != old["epochs"] and (over or new["epochs"] < progress.begun - start):
            return False
    return True


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return dotted name -> value. A list of plain values is one value; a list of mappings is numbered."""
    if isinstance(settings, Mapping) and settings:
        parts = settings.items()
    elif isinstance(settings, list) and any(isinstance(entry, Mapping) for entry in settings):
        parts = enumerate(settings)  # type: ignore[assignment]
    else:
        return {prefix: settings}
    return {
        name: value
        for key, part in parts
        for name, value in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _without_copies(differences: Sequence[Difference]) -> list[Difference]:
    """Leave out settings that repeat another one: `system` refers to other groups, and many groups to the seed."""
    shown: dict[str, Difference] = {}
    for difference in sorted(differences, key=_depth):
        change = f"{difference.key.rpartition('.')[2]} {difference.before} {difference.now}"
        shown.setdefault(change, difference)
    return [difference for difference in differences if difference in shown.values()]


def _depth(difference: Difference) -> tuple[bool, int]:
    return difference.key.startswith("system."), difference.key.count(".")
