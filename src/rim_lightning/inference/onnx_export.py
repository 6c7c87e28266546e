"""RIM as ONNX files, for programs without torch."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.extras import require_extra
from rim_lightning.networks.rim import RIM


class OnnxHallucination(nn.Module):
    """The hallucination network with its outputs as a plain tuple.

    Args:
        rim: Trained network.
    """

    def __init__(self, rim: RIM) -> None:
        super().__init__()
        self.fhn = rim.fhn

    def forward(self, face: Tensor, size: Tensor | None = None) -> tuple[Tensor, ...]:
        """Hallucinate sharp faces.

        Args:
            face: (B, 3, S, S), RGB in [-1, 1]: probes, enlarged.
            size: (B,) side of each probe in pixels before it was enlarged, if the network reads it.

        Returns:
            Coarse face, sharp face, heatmaps (from 0 to about 1) of each landmark scheme, class logits of the parsing.
        """
        output = self.fhn(face, size)
        return output.coarse, output.sr, *output.priors.evidence().values(), output.priors.parsing_logits


class Embedder(nn.Module):
    """One side of the recognition: probes or sharp faces to embeddings of length 1.

    Args:
        rim: Trained network.
        side: "probe" for the hallucination network, student and assistant; "gallery" for the teacher.
    """

    def __init__(self, rim: RIM, side: Literal["probe", "gallery"]) -> None:
        super().__init__()
        self.rim = rim
        self.side = side

    def forward(self, face: Tensor, size: Tensor | None = None) -> Tensor:
        """Embed faces.

        Args:
            face: (B, 3, S, S), RGB in [-1, 1]: enlarged probes or sharp faces.
            size: (B,) side of each probe in pixels before it was enlarged, if the network reads it.

        Returns:
            (B, E) embeddings of length 1.
        """
        return F.normalize(self.rim.embed_probe(face, size) if self.side == "probe" else self.rim.embed_gallery(face))


def check_writable_as_onnx(rim: RIM) -> None:
    """Refuse a network that no ONNX file can hold.

    Raises:
        ValueError: If the hallucinated faces are made consistent with their probes.
    """
    if rim.fhn.consistency:
        raise ValueError(
            "A hallucination network with consistency cannot be written as ONNX files: export it with --no-onnx."
        )


def export_onnx(rim: RIM, folder: str | Path) -> list[str]:
    """Write `super_resolver.onnx`, `probe_embedder.onnx` and `gallery_embedder.onnx`, for any number of faces.

    The input of each is `face`, (batch, 3, S, S) float32, RGB in [-1, 1]. If the model takes the sizes of the probes,
    the super-resolver and the embedder of probes also have the input `size`, (batch,) float32, the side of each probe
    in pixels before it was enlarged. The output of the embedders is `embedding`;
    the outputs of the super-resolver are `coarse`, `sr`, `heatmaps_<scheme>` and `parsing`.

    Args:
        rim: Trained network.
        folder: Folder to write to. It must exist.

    Returns:
        Names of the files.

    Raises:
        MissingExtra: If onnxscript is not installed.
        ValueError: If the hallucinated faces are made consistent with their probes.
    """
    check_writable_as_onnx(rim)
    require_extra("export", "An ONNX file")
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass  # comes with onnxscript

    heatmaps = [f"heatmaps_{scheme}" for scheme in rim.fhn.generator.heatmap_heads]
    parts: dict[str, tuple[nn.Module, list[str]]] = {
        "super_resolver": (OnnxHallucination(rim), ["coarse", "sr", *heatmaps, "parsing"]),
        "probe_embedder": (Embedder(rim, "probe"), ["embedding"]),
        "gallery_embedder": (Embedder(rim, "gallery"), ["embedding"]),
    }
    face = torch.zeros(2, 3, rim.hr_size, rim.hr_size, device=next(rim.parameters()).device)
    size = torch.full((2,), float(rim.lr_size), device=face.device)
    sized = {"super_resolver": rim.fhn.size_input, "probe_embedder": rim.takes_sizes, "gallery_embedder": False}
    names = []
    with _quiet_exporter():
        for part_name, (part, outputs) in parts.items():
            inputs = {"face": face, "size": size} if sized[part_name] else {"face": face}
            batch = torch.export.Dim("batch")
            program = torch.onnx.export(
                part.eval(),
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes={name: {0: batch} for name in inputs},
                input_names=list(inputs),
                output_names=outputs,
                verbose=False,
            )
            names.append(f"{part_name}.onnx")
            # The exporter notes at every node which lines of which files of this machine made it.
            ClearMetadataAndDocStringPass()(program.model)  # type: ignore[union-attr]  # None only without dynamo
            program.save(Path(folder) / names[-1])  # type: ignore[union-attr]  # None only without dynamo
    return names


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence warnings and messages of the exporter, which concern the internals of torch."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
