"""Recognition networks from their names in the configuration."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.centerface import CenterFaceNet
from rim_lightning.networks.backbones.inception_resnet import InceptionResnetV1
from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
from rim_lightning.networks.backbones.onnx_network import OnnxNetwork
from rim_lightning.networks.backbones.resnet34 import ResNet34
from rim_lightning.networks.backbones.resnet50 import ResNet50

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "mobilefacenet": MobileFaceNet,
    "iresnet50": IResNet,
    "resnet34": ResNet34,
    "inception_resnet_v1": InceptionResnetV1,
    "resnet50": ResNet50,
    "centerface": CenterFaceNet,
}
FROM_FILES: dict[str, Callable[..., Backbone]] = {"onnx": OnnxNetwork}
"""Networks whose arguments are read from a file of somebody else, and stand in checkpoints."""


def build_backbone(name: str, **arguments: Any) -> Backbone:
    """Build a recognition network with random weights.

    Args:
        name: Name from `BACKBONES` or `FROM_FILES`, or `module.Class` of a `Backbone` outside this package, whose
            module must be on PYTHONPATH.
        **arguments: Arguments of the class.

    Returns:
        The network, in train mode.

    Raises:
        ValueError: If the name is unknown (the message lists the names), or the class cannot be imported or is not a
            `Backbone`.
    """
    return backbone_class(name)(**arguments)


def backbone_class(name: str) -> Callable[..., Backbone]:
    """Return the class of a name, see `build_backbone`."""
    backbone = _imported_class(name) if "." in name else (BACKBONES | FROM_FILES).get(name)
    if backbone is None:
        raise ValueError(
            f'There is no backbone "{name}"; choose one of {", ".join(BACKBONES)}, or give module.Class of your own.'
        )
    return backbone


def with_further_channels(backbone: Mapping[str, Any], further: int) -> Mapping[str, Any]:
    """Return the arguments of a backbone that reads further channels behind RGB.

    Args:
        backbone: Name and arguments of the backbone, {"name": ..., ...}.
        further: Number of channels.
    """
    return {**backbone, "input_channels": 3 + further} if further else backbone


def _imported_class(name: str) -> type[Backbone]:
    """Import `module.Class`. The name can come from a checkpoint, so nothing but a `Backbone` is returned."""
    module, _, class_name = name.rpartition(".")
    try:
        backbone = getattr(import_module(module), class_name, None)
    except ImportError as error:
        raise ValueError(
            f'The backbone "{name}" cannot be imported ({error}): put the folder of its module on PYTHONPATH.'
        ) from error
    if not (isinstance(backbone, type) and issubclass(backbone, Backbone)):
        raise ValueError(f'The backbone "{name}" is not a subclass of rim_lightning.networks.backbones.base.Backbone.')
    return backbone
