"""The recognition networks by name."""

from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.centerface import CenterFaceNet
from rim_lightning.networks.backbones.inception_resnet import InceptionResnetV1
from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
from rim_lightning.networks.backbones.resnet34 import ResNet34
from rim_lightning.networks.backbones.resnet50 import ResNet50

BACKBONES: dict[str, type[Backbone]] = {
    "mobilefacenet": MobileFaceNet,
    "iresnet50": IResNet,
    "resnet34": ResNet34,
    "inception_resnet_v1": InceptionResnetV1,
    "resnet50": ResNet50,
    "centerface": CenterFaceNet,
}


def build_backbone(name: str, **arguments) -> Backbone:
    """The network of that name with random weights; `arguments` go to its constructor.

    Raises:
        ValueError: there is no network of that name; the message lists the names.
    """
    if name not in BACKBONES:
        raise ValueError(f'There is no backbone "{name}"; choose one of {", ".join(BACKBONES)}.')
    return BACKBONES[name](**arguments)
