"""Read published state dicts safely and copy them into our networks under other names."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

COUNTER = "num_batches_tracked"  # of batch norms: without effect in eval mode, absent from old checkpoints


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor of a .pt/.pth file that holds a state dict, on the CPU; a DataParallel prefix is removed.

    Only tensors are unpickled (`weights_only=True`): a hostile file cannot run code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a PyTorch file, or holds something else than a state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file at {path}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a PyTorch weight file that can be read with weights_only=True.") from error
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} does not hold a state dict (name -> tensor): save `model.state_dict()` alone.")
    return {name.removeprefix("module."): value for name, value in state.items()}


def fill(model: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str], path: str | Path) -> None:
    """Copy `state` into `model`; `names` maps every name of the model (counters aside) to its name in `state`.

    Raises:
        ValueError: a tensor is missing, left over or of another shape; the message names the first one and `path`.
    """
    ours = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    surplus = sorted(name for name in set(state) - set(names.values()) if not name.endswith(COUNTER))
    if surplus:
        raise ValueError(f"{path} holds {surplus[0]}, which this {type(model).__name__} does not have.")
    for name, target in ours.items():
        value = state.get(names[name])
        if value is None:
            raise ValueError(f"{path} lacks {names[name]}, which this {type(model).__name__} needs.")
        if value.shape != target.shape:
            raise ValueError(
                f"{names[name]} in {path} is of shape {tuple(value.shape)} instead of {tuple(target.shape)}."
            )
        with torch.no_grad():
            target.copy_(value)
