"""RIM as ONNX files, for programs without torch."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.data.alignment import template
from rim_lightning.extras import require_extra
from rim_lightning.functional.looks import looks
from rim_lightning.functional.resize import on_own_grid
from rim_lightning.inference.faces import Side
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import Usage
from rim_lightning.types import to_unit


class OnnxHallucination(nn.Module):
    """The hallucination network, from the pixels of aligned faces to a plain tuple.

    Args:
        rim: Trained network.
    """

    def __init__(self, rim: RIM) -> None:
        super().__init__()
        self.fhn = rim.fhn

    def forward(self, face: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Hallucinate sharp faces.

        Args:
            face: (B, S, S, 3) uint8 RGB: aligned faces.
            size: (B,) float32: side of each face in its picture, in pixels.

        Returns:
            Coarse face, sharp face, heatmaps (from 0 to about 1) of each landmark scheme, class logits of the parsing.
        """
        output = self.fhn(_as_seen(face, size), size)
        return output.coarse, output.sr, *output.priors.evidence().values(), output.priors.parsing_logits


class OnnxEmbedder(nn.Module):
    """One side of the recognition, from the pixels of aligned faces to embeddings, as `FaceEmbedder` makes them.

    Args:
        rim: Trained network.
        side: "probe" for the hallucination network, student and assistant; "gallery" for the teacher.
        usage: Looks that are averaged, and the mixture of probes with the teacher.
    """

    def __init__(self, rim: RIM, side: Side, usage: Usage) -> None:
        super().__init__()
        self.rim = rim
        self.side = side
        self.usage = usage

    def forward(self, face: Tensor, size: Tensor) -> Tensor:
        """Embed faces.

        Args:
            face: (B, S, S, 3) uint8 RGB: aligned faces.
            size: (B,) float32: side of each face in its picture, in pixels.

        Returns:
            (B, E) embeddings of length 1.
        """
        pixels = _as_seen(face, size)
        if self.side == "gallery":
            return self._averaged(self._by_teacher, pixels, size)
        own = self._averaged(self.rim.embed_probe, pixels, size)
        if self.usage.mixture is None:
            return own
        weight = self.usage.mixture.at(size)[:, None]
        return F.normalize(weight * own + (1 - weight) * self._averaged(self._by_teacher, pixels, size))

    def _by_teacher(self, faces: Tensor, sizes: Tensor) -> Tensor:
        return self.rim.embed_gallery(faces)

    def _averaged(self, embed: Callable[[Tensor, Tensor], Tensor], pixels: Tensor, size: Tensor) -> Tensor:
        """Embed all looks as one batch, so that the graph has the network once."""
        views = looks(pixels, self.usage.flip, self.usage.shift)
        embeddings = F.normalize(embed(torch.cat(views), size.repeat(len(views))).float())
        return F.normalize(embeddings.unflatten(0, (len(views), -1)).sum(0)) if len(views) > 1 else embeddings


def _as_seen(face: Tensor, size: Tensor) -> Tensor:
    """Return aligned faces (B, S, S, 3) uint8 on grids of their own sizes, enlarged: (B, 3, S, S) in [-1, 1]."""
    return on_own_grid(to_unit(face.permute(0, 3, 1, 2)), size)


def check_writable_as_onnx(rim: RIM) -> None:
    """Refuse a network that no ONNX file can hold.

    Raises:
        ValueError: If the hallucinated faces are made consistent with their probes.
    """
    if rim.fhn.consistency:
        raise ValueError(
            "A hallucination network with consistency cannot be written as ONNX files: export it with --no-onnx."
        )


def export_onnx(rim: RIM, folder: str | Path, usage: Usage, fingerprints: Mapping[Side, str]) -> list[str]:
    """Write `super_resolver.onnx`, `probe_embedder.onnx` and `gallery_embedder.onnx`, for any number of faces.

    The inputs of each are `face`, (batch, S, S, 3) uint8 RGB, faces aligned to the template, and `size`, (batch,)
    float32, the side of each face in its picture, in pixels. Everything else is in the graph: the grid of that size,
    the range of the networks, the looks and the mixture with the teacher. The output of the embedders is `embedding`;
    the outputs of the super-resolver are `coarse`, `sr`, `heatmaps_<scheme>` and `parsing`. The metadata of each file
    are those of `_metadata`.

    Args:
        rim: Trained network.
        folder: Folder to write to. It must exist.
        usage: How the network is used.
        fingerprints: Name of the embeddings of each side.

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
        "probe_embedder": (OnnxEmbedder(rim, "probe", usage), ["embedding"]),
        "gallery_embedder": (OnnxEmbedder(rim, "gallery", usage), ["embedding"]),
    }
    device = next(rim.parameters()).device
    face = torch.zeros(2, rim.hr_size, rim.hr_size, 3, dtype=torch.uint8, device=device)
    inputs = {"face": face, "size": torch.full((2,), float(rim.lr_size), device=device)}
    batch = torch.export.Dim("batch")
    names = []
    with _quiet_exporter():
        for part_name, (part, outputs) in parts.items():
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
            program.model.metadata_props.update(_metadata(rim, usage, fingerprints))  # type: ignore[union-attr]
            program.save(Path(folder) / names[-1])  # type: ignore[union-attr]  # None only without dynamo
    return names


def _metadata(rim: RIM, usage: Usage, fingerprints: Mapping[Side, str]) -> dict[str, str]:
    """Return what a program that reads a file needs to know."""
    return {
        **{f"rim_fingerprint_{side}": fingerprint for side, fingerprint in fingerprints.items()},
        "rim_side": str(rim.hr_size),
        "rim_template": json.dumps(template(rim.hr_size).round(6).tolist()),
        "rim_usage": json.dumps(usage.to_plain()),
        "rim_inputs": "face: aligned to rim_template, (batch, side, side, 3) uint8 RGB; "
        "size: side of the face in its picture in pixels, (batch,) float32",
    }


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
