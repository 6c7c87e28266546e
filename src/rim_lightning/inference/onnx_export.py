"""RIM as ONNX files, for programs without torch."""

import logging
import warnings
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.rim import RIM


class OnnxHallucination(nn.Module):
    """Enlarged probes -> coarse, sr, heatmaps of every scheme, class logits of the parsing."""

    def __init__(self, rim: RIM) -> None:
        super().__init__()
        self.fhn = rim.fhn

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, S, S), RGB in [-1, 1]."""
        found = self.fhn(face)
        return found.coarse, found.sr, *found.priors.heatmaps.values(), found.priors.parsing


class Embedder(nn.Module):
    """Enlarged probes, or sharp faces, -> embeddings of length 1."""

    def __init__(self, rim: RIM, side: Literal["probe", "gallery"]) -> None:
        super().__init__()
        self.rim = rim
        self.side = side

    def forward(self, face: Tensor) -> Tensor:
        """(B, 3, S, S), RGB in [-1, 1] -> (B, E)."""
        embed = self.rim.embed_probe if self.side == "probe" else self.rim.embed_gallery
        return F.normalize(embed(face))


def export_onnx(rim: RIM, folder: str | Path) -> list[str]:
    """Write `super_resolver.onnx`, `probe_embedder.onnx` and `gallery_embedder.onnx`; the number of faces is free.

    Each takes `face`, (batch, 3, S, S) float32, RGB in [-1, 1]; the embedders give `embedding`, the super_resolver
    `coarse`, `sr`, `heatmaps_<scheme>` and `parsing`.

    Returns:
        the names of the files.

    Raises:
        ImportError: where onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401  torch.onnx imports it much later and says less when it is missing
    except ImportError as error:
        raise ImportError("ONNX files need onnxscript: pip install 'rim-lightning[export]'.") from error
    parts = {
        "super_resolver": (
            OnnxHallucination(rim),
            ["coarse", "sr", *(f"heatmaps_{scheme}" for scheme in rim.fhn.generator.heatmap_heads), "parsing"],
        ),
        "probe_embedder": (Embedder(rim, "probe"), ["embedding"]),
        "gallery_embedder": (Embedder(rim, "gallery"), ["embedding"]),
    }
    device = next(rim.parameters()).device
    example = torch.zeros(2, 3, rim.hr_size, rim.hr_size, device=device)
    written = []
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own internals
            for name, (part, outputs) in parts.items():
                program = torch.onnx.export(
                    part.eval(),
                    (example,),
                    dynamo=True,
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                    input_names=["face"],
                    output_names=outputs,
                    verbose=False,
                )
                program.save(Path(folder) / f"{name}.onnx")
                written.append(f"{name}.onnx")
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    return written
