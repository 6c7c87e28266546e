"""A rehearsal of a training without weights: wrong shapes and settings show before any work, not after hours of it."""

import warnings
from collections.abc import Callable

import torch
from torch import nn

from rim_lightning.training.phased_module import PhasedModule


def rehearse(build: Callable[[], PhasedModule], hr_size: int) -> PhasedModule:
    """Build a training module on torch's device "meta", which computes shapes alone, and show it two faces.

    Args:
        build: Builds the training module.
        hr_size: Side of its sharp faces in pixels.

    Returns:
        The module, without weights.

    Raises:
        ValueError: If the networks do not fit each other or the size of the faces, or an optimizer refuses its
            settings.
    """
    with torch.device("meta"), torch.no_grad():
        with warnings.catch_warnings():  # weights of a checkpoint show whether they fit; nothing is copied here
            warnings.filterwarnings("ignore", message=".*to a meta parameter in the current model, which is a no-op")
            module = build()
        faces = torch.zeros(2, 3, hr_size, hr_size)
        sizes = torch.full((2,), module.lr_size)
        network = module.get_submodule(module.architecture)
        try:
            shown = module.eval().faces(faces, sizes)
            for embed, inputs in (("embed_gallery", (faces,)), ("embed_probe", (faces, sizes))):
                if hasattr(network, embed):
                    getattr(network, embed)(*inputs)
        except NotImplementedError:  # an operation of a user's own network that has no shapes
            shown = {}
        except RuntimeError as error:
            raise ValueError(
                f"The networks of model cannot work on faces of model.hr_size={hr_size} ({_first_line(error)}): choose "
                "a multiple of 16, or other reductions, strides and depths."
            ) from error
    for name, face in shown.items():
        if face.shape != faces.shape:
            raise ValueError(
                f"The network makes {name} faces of {face.shape[-1]} px where model.hr_size is {hr_size}: make the "
                "product of its factors and its reduction fit."
            )
    _check_optimizers(module)
    _check_factors(module)
    return module


def _check_optimizers(module: PhasedModule) -> None:
    for phase in module.phases:
        try:
            module.optimizer_of[phase.name]([nn.Parameter(torch.zeros(1))])
        except (ValueError, TypeError) as error:
            raise ValueError(f"optim.optimizers.{phase.name}: {_first_line(error)}.") from error


def _check_factors(module: PhasedModule) -> None:
    phases = [phase.name for phase in module.phases]
    for number, stage in enumerate(module.schedule.stages):
        for name in stage.lr_scale:
            if name not in phases:
                raise ValueError(
                    f"schedule.stages.{number}.lr_scale names the phase {name}; choose from {', '.join(phases)}."
                )
    if module.schedule.epochs < 1:
        raise ValueError("schedule.stages have no epochs: give one stage or more with epochs of 1 or more.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
