"""Weights of Inception-ResNet-v1 from files of facenet-pytorch."""

from pathlib import Path

from rim_lightning.networks.backbones.inception_resnet import InceptionResnetV1
from rim_lightning.networks.published.state_dict import fill, read_state_dict

# Our module -> module of facenet-pytorch, for every module that holds tensors.
MODULES = {
    "stage1.0": "conv2d_1a",
    "stage1.1": "conv2d_2a",
    "stage1.2": "conv2d_2b",
    "stage2.1": "conv2d_3b",
    "stage2.2": "conv2d_4a",
    "stage2.3": "conv2d_4b",
    "stage2.4": "repeat_1",
    "stage3.0": "mixed_6a",
    "stage3.1": "repeat_2",
    "stage4.0": "mixed_7a",
    "stage4.1": "repeat_3",
    "stage4.2": "block8",
    "embed.3": "last_linear",
    "embed.4": "last_bn",
}


def load_facenet_pytorch(path: str | Path) -> InceptionResnetV1:
    """Load Inception-ResNet-v1 from a file of facenet-pytorch.

    The classifier that these files also hold (`logits`) is skipped. Nothing is downloaded.

    Args:
        path: File such as 20180402-114759-vggface2.pt.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a state dict of this network. The message names the file and the first wrong tensor.
    """
    state = {name: value for name, value in read_state_dict(path).items() if not name.startswith("logits.")}
    model = InceptionResnetV1()
    names = {}
    for name in model.state_dict():
        module = ".".join(name.split(".")[:2])
        names[name] = MODULES[module] + name.removeprefix(module)
    fill(model, state, names, path)
    return model.eval()
