"""The ONNX file of any embedder as a reader of a prepared store."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.data.readers.files import require_file
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.evaluation.store_embeddings import Reader
from rim_lightning.extras import require_extra
from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.resize import resized


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


def onnx_reader(model: Path, wanted: NetworkInput, store: PreparedStore) -> Reader:
    """Let an ONNX file read a prepared store.

    Args:
        model: ONNX file with one input (B, 3, S, S) or (1, 3, S, S), and the embedding (B, E) as its first output.
        wanted: How the faces are shown.
        store: The store. Faces larger than S are reduced to it by antialiased bicubic, as RIM does for its teacher.

    Returns:
        The reader.

    Raises:
        FileNotFoundError: If there is no such file.
        MissingExtra: If onnxruntime is not installed.
        ValueError: If it is no such model, or its faces are larger than those of the store.
    """
    require_extra("onnx", "An ONNX file")
    session, side = _session(require_file(model, "an embedder as ONNX"))
    if not isinstance(side, int):
        side = store.hr_size
    if side > store.hr_size:
        raise ValueError(
            f"{model} takes faces of {side} px, {store.path} holds faces of {store.hr_size} px: prepare them with "
            f"hr_size={side}."
        )

    def embed(faces: Tensor) -> Tensor:
        return _embed(session, resized(to_levels(faces).float(), side), wanted, model)

    return Reader(embed, embed, model, None if side == store.hr_size else side)


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


def _embed(session: Any, levels: Tensor, wanted: NetworkInput, model: Path) -> Tensor:
    """Embed faces (B, 3, S, S), RGB in levels from 0 to 255."""
    shown = ((levels.flip(1) if wanted.bgr else levels) - wanted.mean) / wanted.scale
    entry = session.get_inputs()[0]
    chunks = shown.split(1) if entry.shape[0] == 1 else [shown]
    try:
        parts = [torch.from_numpy(session.run(None, {entry.name: chunk.numpy()})[0]).float() for chunk in chunks]
    except Exception as error:  # onnxruntime raises errors of its own kinds
        raise ValueError(f"{model} cannot embed faces {tuple(levels.shape)} ({_first_line(error)}).") from None
    for part, chunk in zip(parts, chunks, strict=True):
        if part.ndim < 2 or len(part) != len(chunk):
            raise ValueError(f"{model} answers {len(chunk)} faces by an array {tuple(part.shape)}; expected (B, E).")
    return torch.cat([part.flatten(1) for part in parts])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:120]
