"""Published state dicts: read them safely, and copy them into our networks under other names."""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from rim_lightning.networks.architecture_check import check_size
from rim_lightning.networks.torch_files import load_torch_file

B = TypeVar("B", bound=nn.Module)
COUNTER = "num_batches_tracked"  # of batch norms: no effect in eval mode, missing in old checkpoints
MOST_BLOCKS = 100  # in a stage of a published network


def missing_weights(path: str | Path) -> FileNotFoundError:
    """Return the error for a file of weights that is not there. It names the ways to a teacher."""
    return FileNotFoundError(
        f"There is no weight file at {path}: train a teacher on your people with teacher=trained, or get published "
        "weights and give teacher.weights={weight_format: …, path: …}; docs/data.md lists the formats."
    )


def read_state_dict(path: str | Path, part: str | None = None, inert: Collection[str] = ()) -> dict[str, Tensor]:
    """Read a .pt, .pth or .ckpt file that holds a state dict.

    Only tensors are unpickled (`weights_only=True`), so that a hostile file cannot run code. The prefix that
    DataParallel puts before every name is removed.

    Args:
        path: File of PyTorch.
        part: Entry of a larger checkpoint that may hold the state dict.
        inert: As of `load_torch_file`.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a file of PyTorch, or holds anything but a state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise missing_weights(path)
    try:
        state = load_torch_file(path, inert)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a PyTorch weight file that can be read with weights_only=True ({error}): save "
            "`model.state_dict()` with torch.save."
        ) from error
    if part is not None and isinstance(state, Mapping) and part in state:
        state = state[part]
    if not isinstance(state, Mapping) or not state or not all(_is_weight(*entry) for entry in state.items()):
        raise ValueError(f"{path} does not hold a state dict (name -> tensor): save `model.state_dict()` alone.")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def build_within(build: Callable[[], B], state: Mapping[str, Tensor], path: str | Path) -> B:
    """Build a network of the depth and width that a published state dict has, if it has the weights of one.

    Args:
        build: Builds the network.
        state: Published tensors by name.
        path: Their file, for the message.

    Raises:
        ValueError: If the network is larger than the file.
    """
    check_size(build, sum(map(torch.numel, state.values())), path)
    return build()


def fill(model: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str], path: str | Path) -> None:
    """Copy a published state dict into one of our networks.

    Args:
        model: Network to fill, in place.
        state: Published tensors by their published names.
        names: Our name -> published name, for every tensor of the model except the counters of batch norms.
        path: File of `state`, for error messages.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape. The message names the first one and `path`.
    """
    targets = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(COUNTER)}
    surplus = sorted(name for name in set(state) - set(names.values()) if not name.endswith(COUNTER))
    if surplus:
        raise ValueError(f"{path} holds {surplus[0]}, which this {type(model).__name__} does not have.")
    for name, target in targets.items():
        value = state.get(names[name])
        if value is None:
            raise ValueError(f"{path} lacks {names[name]}, which this {type(model).__name__} needs.")
        if value.shape != target.shape:
            raise ValueError(
                f"{names[name]} in {path} is of shape {tuple(value.shape)} instead of {tuple(target.shape)}."
            )
        with torch.no_grad():
            target.copy_(value)


def blocks_per_stage(state: Mapping[str, Tensor], tensor: str) -> tuple[int, int, int, int]:
    """Count the blocks of each stage in a state dict with the names of torchvision: layer1.0, layer1.1, ...

    Args:
        state: Published tensors by name.
        tensor: Name of a tensor that every block has.

    Returns:
        Number of blocks of stages 1 to 4; 0 for a missing stage. All are 0 if there are more than `MOST_BLOCKS`.

    Example:
        >>> weight = torch.zeros(1)
        >>> blocks_per_stage({"layer1.0.conv1.weight": weight, "layer1.1.conv1.weight": weight}, "conv1.weight")
        (2, 0, 0, 0)
    """

    def count(stage: int) -> int:
        return sum(bool(re.fullmatch(rf"layer{stage}\.\d+\.{re.escape(tensor)}", name)) for name in state)

    blocks = count(1), count(2), count(3), count(4)
    return blocks if max(blocks) <= MOST_BLOCKS else (0, 0, 0, 0)
