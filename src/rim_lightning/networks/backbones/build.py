"""The recognition networks by name."""

from collections.abc import Callable
from typing import Any

from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.centerface import CenterFaceNet
from rim_lightning.networks.backbones.inception_resnet import InceptionResnetV1
from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
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


def build_backbone(name: str, **arguments: Any) -> Backbone:
    """Build a recognition network with random weights.

    Args:
        name: Name from `BACKBONES`.
        **arguments: Arguments of its constructor.

    Returns:
        The network, in train mode.

    Raises:
        ValueError: If there is no network of that name. The message lists the names.
    """
    if name not in BACKBONES:
        raise ValueError(f'There is no backbone "{name}"; choose one of {", ".join(BACKBONES)}.')
    return BACKBONES[name](**arguments)
