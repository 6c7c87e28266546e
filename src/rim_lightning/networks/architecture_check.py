"""What a file says about a network is checked before the network is built: names, types, ranges and size."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import create_model
from torch import nn
from torch.overrides import TorchFunctionMode

from rim_lightning.networks.backbones.build import backbone_class
from rim_lightning.networks.hallucination.blocks import Pyramid
from rim_lightning.networks.hallucination.coarse import CoarseSR
from rim_lightning.networks.hallucination.discriminator import DomainDiscriminator
from rim_lightning.networks.hallucination.network import HallucinationNetwork
from rim_lightning.networks.hallucination.paths import TriPathGenerator
from rim_lightning.networks.recognition import RecognitionNetwork
from rim_lightning.networks.rim import RIM
from rim_lightning.schema import Schema, checked

RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("width", "widths", "prior_width", "parsing_width", "head_width", "growth"), (1, 2048)),
    "global_width": (0, 2048),
    **dict.fromkeys(("blocks", "prior_blocks", "units"), (0, 100)),
    "depth": (1, 100),
    "hourglass": (0, 8),
    **dict.fromkeys(("repeats", "turns"), (1, 16)),
    **dict.fromkeys(("reduction", "pool", "factors", "factor", "stride"), (1, 64)),
    **dict.fromkeys(("hr_size", "input_size"), (8, 1024)),
    "lr_size": (1, 1024),
    "input_channels": (3, 512),
    "channel_scale": (1, 16),
    "pixel_mean": (0, 255),
    "pixel_scale": (1, 255),
    "mean": (0, 255),
    "std": (0.001, 1000),
    **dict.fromkeys(("schemes", "classes"), (1, 1000)),
    "embedding_size": (1, 16384),
    "dropout": (0, 1),
}
"""Argument -> smallest and largest value. They are far beyond those of all configurations."""
OTHERS = (-65536, 65536)
"""Range of any other number, such as an argument of a network of your own."""
LONGEST = 32
"""Most entries of a list of arguments."""
ADVICE = "the file is damaged, was changed, or is of another version of this package"


def check_architecture(name: object, arguments: Mapping[str, Any], file: str | Path) -> None:
    """Check the arguments of a network from a checkpoint, see `checkpoints.build_architecture`.

    Args:
        name: Name of the architecture. An unknown one passes: it cannot be built.
        arguments: The arguments.
        file: The checkpoint, for the message.

    Raises:
        ValueError: If one is unknown, missing, or out of its range. The message names it.
    """
    place = "model_arguments"
    if name == "rim":
        check_rim(arguments, file, place)
    elif name == "super_resolver":
        from rim_lightning.networks.compared.build import SUPER_RESOLVERS

        kind, others = arguments.get("name"), {key: value for key, value in arguments.items() if key != "name"}
        if not isinstance(kind, str) or kind not in SUPER_RESOLVERS:
            raise ValueError(
                f"{file}: {place}.name is {kind!r}, one of {', '.join(SUPER_RESOLVERS)} is needed: {ADVICE}."
            )
        check_arguments(SUPER_RESOLVERS[kind], others, file, place)
        if kind == "coarse":
            check_arguments(CoarseSR, others["network"], file, f"{place}.network", ("size_input",))
    elif name == "recognizer":
        from rim_lightning.networks.compared.guided import build_guided_recognizer

        check_arguments(build_guided_recognizer, arguments, file, place)
        for part in ("learner", "guide"):
            if arguments.get(part) is not None:
                check_backbone(arguments[part], file, f"{place}.{part}")


def check_rim(arguments: Mapping[str, Any], file: str | Path, place: str) -> None:
    """Check the arguments of a RIM.

    Args:
        arguments: The arguments.
        file: File that they are from, for the message.
        place: Their place in the file.

    Raises:
        ValueError: If one is unknown, missing, or out of its range. The message names it.
    """
    check_arguments(RIM, arguments, file, place)
    hallucination, recognition = arguments["hallucination"], arguments["recognition"]
    parts: list[tuple[Callable[..., Any], str, Mapping[str, Any], tuple[str, ...]]] = [
        (HallucinationNetwork, "hallucination", hallucination, ("schemes", "lr_size")),
        (DomainDiscriminator, "discriminator", arguments["discriminator"], ("channels",)),
        (RecognitionNetwork, "recognition", recognition, ("lr_size", "schemes")),
    ]
    for build, name, part, given in parts:
        check_arguments(build, part, file, f"{place}.{name}", given)
    inner: list[tuple[Callable[..., Any], str, tuple[str, ...]]] = [
        (CoarseSR, "coarse", ("size_input",)),
        (TriPathGenerator, "generator", ("schemes", "size_input")),
        (Pyramid, "integrator", ("inputs", "attention")),
    ]
    for build, name, given in inner:
        check_arguments(build, hallucination[name], file, f"{place}.hallucination.{name}", given)
    for name in ("teacher", "student", "assistant"):
        check_backbone(recognition[name], file, f"{place}.recognition.{name}")


def check_backbone(arguments: Mapping[str, Any], file: str | Path, place: str) -> None:
    """Check name and arguments of a recognition network, {"name": ..., ...}; see `check_rim`."""
    name = arguments.get("name")
    if not isinstance(name, str):
        raise ValueError(f"{file} has no {place}.name: {ADVICE}.")
    others = {key: value for key, value in arguments.items() if key != "name"}
    check_arguments(backbone_class(name), others, file, place)


def check_arguments(
    build: Callable[..., Any], arguments: Mapping[str, Any], file: str | Path, place: str, given: Sequence[str] = ()
) -> None:
    """Check arguments from a file: names and types by the signature of what is built, numbers by their ranges.

    Args:
        build: Class or function that takes the arguments.
        arguments: The arguments.
        file: File that they are from, for the message.
        place: Their place in the file.
        given: Parameters that are not from the file.

    Raises:
        ValueError: If one is unknown, missing, or out of its range. The message names it.
    """
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(build).parameters.items():
        if name in given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        fields[name] = (hints.get(name, Any), ... if required else parameter.default)
    checked(create_model("Arguments", __base__=Schema, **fields), arguments, file, ADVICE, place)
    for name, value in arguments.items():
        _check_range(name, value, file, f"{place}.{name}")


def _check_range(name: str, value: Any, file: str | Path, place: str) -> None:
    """Raise ValueError if a number, or one in a list or mapping of numbers, is out of the range of its name."""
    if isinstance(value, Mapping | list | tuple):
        if len(value) > LONGEST:
            raise ValueError(f"{file}: {place} has {len(value):,} entries, at most {LONGEST} are allowed: {ADVICE}.")
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, entry in entries:
            if isinstance(entry, int | float):  # other mappings are arguments, with ranges of their own
                _check_range(name, entry, file, f"{place}.{key}" if isinstance(key, str) else f"{place}[{key}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = RANGES.get(name, OTHERS)
        if not low <= value <= high:
            raise ValueError(f"{file}: {place} is {value:g}; it must be from {low:g} to {high:g}: {ADVICE}.")


def check_rim_size(arguments: Mapping[str, Any], numbers: int, file: str | Path, without: Sequence[str] = ()) -> None:
    """Compare the size of a RIM with that of a file of its weights, see `check_size`.

    Args:
        arguments: Its arguments, see `check_rim`.
        numbers: As of `check_size`.
        file: As of `check_size`.
        without: As of `check_size`.

    Raises:
        ValueError: See `check_size`.
    """
    # A spectral norm has no parameters of its own, and without memory it takes seconds.
    discriminator = {**arguments["discriminator"], "spectral": False}
    check_size(lambda: RIM(**{**arguments, "discriminator": discriminator}), numbers, file, without)


def check_size(build: Callable[[], nn.Module], numbers: int, file: str | Path, without: Sequence[str] = ()) -> None:
    """Build a network without memory, and compare its size with that of a file of its weights.

    Args:
        build: Builds the network.
        numbers: How many numbers the file holds.
        file: The file, for the message.
        without: How the names of weights begin that the file need not hold.

    Raises:
        ValueError: If the network cannot be built, or is larger than the file.
    """
    try:
        with torch.device("meta"), _NoRandomNumbers():
            network = build()
    except ValueError as error:
        raise ValueError(f"{file} describes a network that cannot be built ({error}): {ADVICE}.") from error
    except Exception as error:  # networks of any kind, with arguments that do not fit together
        raise ValueError(f"{file} describes a network that cannot be built: {ADVICE}.") from error
    parameters = [(name, value.numel()) for name, value in network.named_parameters()]
    needed = sum(count for name, count in parameters if not name.startswith(tuple(without)))
    if needed > numbers:
        raise ValueError(f"{file} holds {numbers:,} numbers of a network that has {needed:,}: {ADVICE}.")


class _NoRandomNumbers(TorchFunctionMode):
    """Leaves `Tensor.normal_` out: without memory it takes seconds, and no number is looked at."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def check_finite(network: nn.Module, file: str | Path) -> None:
    """Raise ValueError if a weight of a network is NaN or infinite.

    Args:
        network: The network.
        file: File of its weights, for the message.
    """
    for name, value in network.state_dict().items():
        if value.is_meta:  # in the rehearsal of a run, which looks at no number
            continue
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"{file} holds NaN or infinity in {name}: its answers would mean nothing. Take another checkpoint, or "
                "copy the file again."
            )
