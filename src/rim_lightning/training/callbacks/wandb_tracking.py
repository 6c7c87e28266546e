"""What goes to W&B beyond the logged numbers: faces, ROC, versions of code and data, checkpoints and report."""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.files import file_digest, write_json
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.verification import roc_curve
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.provenance import code_version
from rim_lightning.runs.records import TrackingRecord, read_record
from rim_lightning.runs.sweep import JOB_VARIABLE
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.rank import is_first_process

ID = "wandb_id.json"  # in the directory of the run
OFFLINE = ("offline", "dryrun", "disabled")  # values of WANDB_MODE
HOST = "private"  # W&B would send the name of the machine
SECONDS = 20  # for the first answer of the server


def wandb_logger(save_dir: str, offline: bool, **settings: Any) -> WandbLogger:
    """Make a W&B logger whose run keeps its id when the training is resumed. The id lies in the folder of the run.

    Offline, every attempt leaves files of its own under the same id; `wandb sync` joins them. A job of a sweep adds its
    number and the settings that tell it from the other jobs to its name and its tags.

    Args:
        save_dir: Folder of the run.
        offline: True to write files for `wandb sync` instead of connecting; this needs no account.
        **settings: Settings of `WandbLogger` and `wandb.init`.
    """
    import wandb  # here: a run without W&B does not wait for it

    # Nothing of the machine, its user and its folders is sent; the report of a run names its processor.
    settings["settings"] = wandb.Settings(x_disable_meta=True, x_disable_machine_info=True, host=HOST)
    job = sweep_job()
    if job:
        settings["name"], tags = job_name(settings["name"], job), job_tags(job)
        settings["tags"] = [*(settings.get("tags") or []), *tags]
    path = Path(save_dir) / ID
    if not is_first_process():  # has no run of its own
        return WandbLogger(save_dir=save_dir, offline=offline, **settings)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"id": uuid.uuid4().hex[:12]})
    return WandbLogger(save_dir=save_dir, offline=offline, id=read_record(path, TrackingRecord).id, **settings)


def start_wandb(loggers: Sequence[Any], ask: bool) -> None:
    """Start the W&B run before any work, so that a missing key or network is noticed now.

    Args:
        loggers: Loggers of the trainer.
        ask: True if a person can be asked for the key.

    Raises:
        ValueError: If W&B cannot be reached, or no key is known.
    """
    for logger in loggers:
        if not isinstance(logger, WandbLogger) or logger._offline or os.environ.get("WANDB_MODE") in OFFLINE:
            continue
        import requests  # comes with W&B
        import wandb

        url = wandb.setup().settings.base_url
        try:
            if not ask:
                wandb.login()  # raises without a key, where it cannot ask for it
            requests.head(url, timeout=SECONDS)
            _ = logger.experiment
        except (requests.RequestException, wandb.errors.Error) as error:
            reason = str(error).strip().partition("\n")[0][:200].rstrip(".")
            raise ValueError(
                f"logger=wandb cannot use {url} ({reason}): check the network, and the key by `wandb login` or "
                "WANDB_API_KEY, or add logger.wandb.offline=true and send the run later by `wandb sync`."
            ) from error


def sweep_job() -> dict[str, Any]:
    """Return {"number", "settings"} of the job of a sweep that this process is; {} if it is none."""
    return json.loads(os.environ.get(JOB_VARIABLE, "{}"))


def job_name(name: str, job: Mapping[str, Any]) -> str:
    """Return the name of a job for people, such as "demo 3: seed=1 lr=0.001".

    A setting is shortened to its last word, unless two settings share it.
    """
    short = [key.rpartition(".")[2] for key in job["settings"]]
    words = [
        f"{last if short.count(last) == 1 else key}={value}"
        for last, (key, value) in zip(short, job["settings"].items(), strict=True)
    ]
    return f"{name} {job['number']}{': ' if words else ''}{' '.join(words)}"[:128]  # W&B takes no longer name


def job_tags(job: Mapping[str, Any]) -> list[str]:
    """Return the tags of a job: its number, and one for each setting that tells it from the others."""
    tags = [f"job {job['number']}", *(f"{key}={value}" for key, value in job["settings"].items())]
    return [tag if len(tag) <= 64 else f"{tag[:63]}…" for tag in tags]  # W&B takes no longer tag


class WandbTracking(pl.Callback):
    """Sends faces and versions to W&B. Does nothing without a `WandbLogger`.

    Args:
        faces: Number of validation faces in a panel. The first ones are taken.
    """

    def __init__(self, faces: int) -> None:
        self.faces = faces
        self._panel: list[Tensor] = []
        self._caption = ""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send the versions of the code and of the data."""
        for run in wandb_runs(trainer):
            stores = getattr(getattr(trainer, "datamodule", None), "stores", {})
            digests = {name: _digest(Path(path) / MANIFEST) for name, path in stores.items()}
            versions = {"code": code_version(), "torch": torch.__version__, "data_digests": digests}
            versions |= {"sweep_job": sweep_job()} if sweep_job() else {}
            run.config.update(versions, allow_val_change=True)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Keep the first faces for the panel."""
        module = cast(PhasedModule, pl_module)
        missing = self.faces - sum(len(rows) for rows in self._panel)
        if trainer.sanity_checking or missing <= 0 or not wandb_runs(trainer):
            return
        hr = batch.hr[:missing]
        sizes = torch.full((len(hr),), module.lr_size)
        enlarged = synthesize_probe(hr, sizes)
        with torch.no_grad():
            faces = module.faces(enlarged, sizes)
        if faces:
            self._caption = " | ".join(["probe", *faces, "HR"])
            rows = torch.stack([enlarged, *faces.values(), hr], dim=1)  # (B, K, 3, S, S)
            self._panel.append(rows.float().cpu())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send a panel of the probe, the faces made of it and the sharp face."""
        if self._panel:
            import wandb

            picture = wandb.Image(panel_pixels(torch.cat(self._panel)), caption=self._caption)
            for run in wandb_runs(trainer):
                run.log({"val/faces": picture, "trainer/global_step": trainer.global_step})
        self._panel = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send the ROC of the validation people, whose scores all ranks have by now."""
        judged = cast(PhasedModule, pl_module).judged_pairs()
        if judged is None or trainer.sanity_checking:
            return
        for run in wandb_runs(trainer):
            import wandb

            table = wandb.Table(columns=["FAR", "TAR"], data=roc_points(*judged))
            chart = wandb.plot.line(table, "FAR", "TAR", title="ROC, validation people")
            run.log({"val/roc": chart, "trainer/global_step": trainer.global_step})


def roc_points(scores: Tensor, same: Tensor, points: int = 200) -> list[tuple[float, float]]:
    """Return evenly spread points of the ROC, as (FAR, TAR), with both ends among them.

    Args:
        scores: Similarities, (P,).
        same: True if the pair shows one person, (P,) bool.
        points: Largest number of points.
    """
    far, tar, _ = roc_curve(scores, same)
    places = torch.linspace(0, len(far) - 1, min(points, len(far))).round().long()
    return list(zip(far[places].tolist(), tar[places].tolist(), strict=True))


def wandb_runs(trainer: pl.Trainer) -> list[Any]:
    """List the W&B runs of a trainer; empty on every process but the first."""
    if not trainer.is_global_zero:
        return []
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def panel_pixels(faces: Tensor) -> np.ndarray:
    """Join faces into one picture with a face per row.

    Args:
        faces: (N, K, 3, S, S), RGB in [-1, 1].

    Returns:
        (N·S, K·S, 3), uint8.
    """
    count, columns, _, side, _ = faces.shape
    return to_pixels(faces).transpose(0, 2, 1, 3, 4).reshape(count * side, columns * side, 3)


def log_results(trainer: pl.Trainer, folder: RunFolder) -> None:
    """Send the best and the last checkpoint and the report with its pictures as artifacts of the run."""
    for run in wandb_runs(trainer):
        import wandb  # here: a run without W&B does not wait for it

        model = wandb.Artifact(f"model-{run.id}", "model")
        for checkpoint in (folder.best_checkpoint, folder.last_checkpoint):
            if checkpoint.is_file():
                model.add_file(str(checkpoint))
        report = wandb.Artifact(f"report-{run.id}", "report")
        for path in sorted([*folder.path.glob("*.md"), *folder.path.glob("*.png"), folder.metrics]):
            report.add_file(str(path))
        run.log_artifact(model)
        run.log_artifact(report)


def _digest(path: Path) -> str:
    return file_digest(path) if path.is_file() else ""
