"""What W&B is told beyond the logged numbers: faces, ROC, versions of code and data, the best checkpoint."""

import hashlib
import json
import subprocess
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.files import write_json
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.verification import roc_curve

ID = "wandb_id.json"  # in the directory of the run


def wandb_logger(save_dir: str, offline: bool = False, **settings: Any) -> WandbLogger:
    """A W&B logger whose run keeps its id when the training goes on: it is kept in the directory of the run.

    Offline, every sitting leaves a file of its own under the same id; `wandb sync` joins them.

    Args:
        save_dir: directory of the run.
        offline: write files for `wandb sync` instead of connecting; needs no account.
        settings: of `WandbLogger` and `wandb.init`.
    """
    path = Path(save_dir) / ID
    if rank_zero_only.rank != 0:  # has no run of its own
        return WandbLogger(save_dir=save_dir, offline=offline, **settings)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"id": uuid.uuid4().hex[:12]})
    return WandbLogger(save_dir=save_dir, offline=offline, id=json.loads(path.read_text())["id"], **settings)


class WandbTracking(pl.Callback):
    """Tells W&B about faces and versions. Does nothing without a `WandbLogger`.

    Args:
        faces: validation faces of a panel, the first ones.
    """

    def __init__(self, faces: int = 4) -> None:
        self.faces = faces
        self._panel: list[Tensor] = []
        self._caption = ""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Versions of the code and of the data."""
        for run in runs(trainer):
            stores = getattr(trainer.datamodule, "stores", {})
            digests = {name: _digest(Path(path) / MANIFEST) for name, path in stores.items()}
            versions = {"code": code_version(), "torch": torch.__version__, "data": digests}
            run.config.update(versions, allow_val_change=True)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember the first faces."""
        missing = self.faces - sum(len(rows) for rows in self._panel)
        if trainer.sanity_checking or missing <= 0 or not runs(trainer):
            return
        hr = batch.hr[:missing]
        enlarged = synthesize_probe(hr, torch.full((len(hr),), pl_module.lr_size))
        with torch.no_grad():
            made = pl_module.faces(enlarged)
        if made:
            self._caption = " | ".join(["probe", *made, "HR"])
            self._panel.append(torch.stack([enlarged, *made.values(), hr], dim=1).float().cpu())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A panel of the probe, the faces made of it and the sharp face."""
        if self._panel:
            import wandb

            picture = wandb.Image(panel_pixels(torch.cat(self._panel)), caption=self._caption)
            for run in runs(trainer):
                run.log({"val/faces": picture, "trainer/global_step": trainer.global_step})
        self._panel = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The ROC of student + assistant, which `IdentityVerification` has computed on all ranks by now."""
        verification = getattr(pl_module, "verification", None)  # a super_resolver without recognition has none
        judged = None if verification is None else verification.judged
        if judged is None or trainer.sanity_checking:
            return
        for run in runs(trainer):
            import wandb

            table = wandb.Table(columns=["FAR", "TAR"], data=roc_points(*judged))
            chart = wandb.plot.line(table, "FAR", "TAR", title="ROC, validation people")
            run.log({"val/roc": chart, "trainer/global_step": trainer.global_step})


def roc_points(scores: Tensor, same: Tensor, points: int = 200) -> list[tuple[float, float]]:
    """(FAR, TAR) at evenly spread places of the ROC; both ends are among them."""
    far, tar, _ = roc_curve(scores, same)
    places = torch.linspace(0, len(far) - 1, min(points, len(far))).round().long()
    return list(zip(far[places].tolist(), tar[places].tolist(), strict=True))


def runs(trainer: pl.Trainer) -> list[Any]:
    """The W&B runs of a trainer, on its first rank."""
    if not trainer.is_global_zero:
        return []
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def panel_pixels(faces: Tensor) -> np.ndarray:
    """(N, K, 3, S, S) in [-1, 1] -> one picture (N·S, K·S, 3) uint8, a face a row."""
    count, columns, _, side, _ = faces.shape
    return to_pixels(faces).transpose(0, 2, 1, 3, 4).reshape(count * side, columns * side, 3)


def log_results(trainer: pl.Trainer, folder: Path) -> None:
    """The best and the last checkpoint and the report with its pictures as artifacts of the run."""
    for run in runs(trainer):
        import wandb  # here: a run without W&B does not wait for it

        model = wandb.Artifact(f"model-{run.id}", "model")
        for name in ("best.ckpt", "last.ckpt"):
            if (folder / "checkpoints" / name).is_file():
                model.add_file(str(folder / "checkpoints" / name))
        report = wandb.Artifact(f"report-{run.id}", "report")
        for path in sorted([*folder.glob("*.md"), *folder.glob("*.png"), folder / "metrics.json"]):
            report.add_file(str(path))
        run.log_artifact(model)
        run.log_artifact(report)


def code_version() -> str:
    """Commit of the source tree, with "+" where it is changed; the package version outside a repository."""
    folder = Path(__file__).parent
    try:
        commit = _git("rev-parse", "--short=12", "HEAD", folder=folder)
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no", folder=folder) else "")
    except (OSError, subprocess.CalledProcessError):
        return version("rim-lightning")


def _git(*arguments: str, folder: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
