"""Embeddings of a prepared store by the ONNX file of any embedder."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.readers.files import require_file
from rim_lightning.data.stores.packed import open_store
from rim_lightning.evaluation.embedding_files import EmbeddedFaces
from rim_lightning.extras import require_extra
from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.seeded_probes import CLEAN, seeded_probes
from rim_lightning.runs.progress import progress_bar
from rim_lightning.types import NO_IDENTITY, to_unit

BATCH = 32


class NetworkInput(NamedTuple):
    """How an embedder wants its faces: (level − mean) / scale of levels from 0 to 255.

    Attributes:
        bgr: True if its channels are blue, green, red.
        mean: Mean.
        scale: Scale.
    """

    bgr: bool = False
    mean: float = 127.5
    scale: float = 127.5


def embed_store(model: Path, store: Path, wanted: NetworkInput, probe_size: int | None = None) -> EmbeddedFaces:
    """Embed all faces of a prepared store.

    Args:
        model: ONNX file with one input (B, 3, S, S) or (1, 3, S, S), and the embedding (B, E) as its first output.
        store: Folder of the store, whose faces have the side S.
        wanted: How the faces are shown.
        probe_size: Side in pixels to which the faces are reduced by antialiased bicubic before they are enlarged back,
            as the probes of rim-eval; None for sharp faces.

    Returns:
        The embeddings, with the names of the store; with people if all of them are known.

    Raises:
        FileNotFoundError: If there is no such file or store.
        MissingExtra: If onnxruntime is not installed.
        ValueError: If it is no such model, or its faces are of another size.
    """
    require_extra("onnx", "An ONNX file")
    prepared = open_store(store)
    session, side = _session(require_file(model, "an embedder as ONNX"))
    if isinstance(side, int) and side != prepared.hr_size:
        raise ValueError(
            f"{model} takes faces of {side} px, {store} holds faces of {prepared.hr_size} px: prepare them with "
            f"hr_size={side}."
        )
    if probe_size is not None and not 7 <= probe_size <= prepared.hr_size:
        raise ValueError(f"The probes have {probe_size} px; give 7 to {prepared.hr_size}, the side of the faces.")
    faces = FaceDataset(prepared, range(len(prepared)))
    batches = []
    for start in progress_bar(range(0, len(faces), BATCH), desc=model.stem, unit="batch", leave=False):
        numbers = range(start, min(start + BATCH, len(faces)))
        sharp = to_unit(torch.stack([faces[number].hr for number in numbers]))
        shown = sharp if probe_size is None else seeded_probes(sharp, probe_size, CLEAN, list(numbers))
        batches.append(_embed(session, shown, wanted, model))
    people = [] if (prepared.identity == NO_IDENTITY).any() else [prepared.identities[n] for n in prepared.identity]
    embeddings = torch.cat(batches)
    if not embeddings.isfinite().all() or (embeddings == 0).all(1).any():
        raise ValueError(f"{model} gives an embedding that is not finite or 0: see --bgr, --mean and --scale.")
    return EmbeddedFaces(prepared.names, people, embeddings, model)


def _session(model: Path) -> tuple[Any, Any]:
    """Open an embedder. Return it and the side of its faces, which may be left open."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises errors of its own kinds
        raise ValueError(f"{model} is no ONNX file that onnxruntime reads ({_first_line(error)}).") from None
    inputs = session.get_inputs()
    if (
        len(inputs) != 1
        or len(inputs[0].shape) != 4
        or _is_fixed(inputs[0].shape[1], 3)
        or _is_fixed(inputs[0].shape[0], 1)
    ):
        shapes = ", ".join(str(entry.shape) for entry in inputs)[:200]
        raise ValueError(f"{model} has the inputs {shapes}; expected one of faces (B, 3, S, S).")
    return session, inputs[0].shape[2]


def _is_fixed(size: Any, wanted: int) -> bool:
    """Return True if an input has a fixed size of its own; a name or None is any size."""
    return isinstance(size, int) and size != wanted


def _embed(session: Any, faces: Tensor, wanted: NetworkInput, model: Path) -> Tensor:
    """Embed faces (B, 3, S, S), RGB in [-1, 1]."""
    levels = to_levels(faces).float()
    shown = ((levels.flip(1) if wanted.bgr else levels) - wanted.mean) / wanted.scale
    entry = session.get_inputs()[0]
    chunks = shown.split(1) if entry.shape[0] == 1 else [shown]
    try:
        parts = [torch.from_numpy(session.run(None, {entry.name: chunk.numpy()})[0]).float() for chunk in chunks]
    except Exception as error:  # onnxruntime raises errors of its own kinds
        raise ValueError(f"{model} cannot embed faces {tuple(faces.shape)} ({_first_line(error)}).") from None
    for part, chunk in zip(parts, chunks, strict=True):
        if part.ndim < 2 or len(part) != len(chunk):
            raise ValueError(f"{model} answers {len(chunk)} faces by an array {tuple(part.shape)}; expected (B, E).")
    return torch.cat([part.flatten(1) for part in parts])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:120]
