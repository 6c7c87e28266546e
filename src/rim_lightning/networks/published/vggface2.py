"""rim_lightning.networks.published.vggface2."""

import re
from pathlib import Path

import torch

from rim_lightning.networks.backbones.resnet50 import ResNet50
from rim_lightning.networks.published.state_dict import COUNTER, fill, read_state_dict

CONVERSION = (
    "import pickle, torch; torch.save({k: torch.from_numpy(v) for k, v in "
    "pickle.load(open('net.pkl', 'rb'), encoding='latin1').items()}, 'net.pth')"
)


def load_vggface2(path: str | Path) -> ResNet50:
    """ResNet50 in eval mode from a state dict of cydonia999/VGGFace2-pytorch's `resnet50` (resnet50_ft_weight, ...).

    Depth and width are read off the file; the embedding is the pooled last stage, the input 224. The classifier that
    those files also hold (`fc`) is left out, and the stem, which expects BGR, is turned to RGB. The published .pkl is
    not opened, for that could run code: the message says how to convert it. torchvision's resnet50 has the same names
    and shapes but other strides and another input: its weights load here and mean nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or not this network's; the message names the file and the first tensor.
    """
    try:
        state = read_state_dict(path)
    except ValueError as error:
        if Path(path).suffix != ".pkl":
            raise
        raise ValueError(
            f"{path} is a pickle, which can run code when it is read. If you trust it, convert it once and give the "
            f'.pth file: python -c "{CONVERSION}"'
        ) from error
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    blocks = tuple(
        sum(bool(re.fullmatch(rf"layer{stage}\.\d+\.conv3\.weight", name)) for name in state) for stage in range(1, 5)
    )
    if "conv1.weight" not in state or 0 in blocks:
        raise ValueError(f"{path} does not hold a ResNet-50 named as in VGGFace2-pytorch.")
    width = state["conv1.weight"].shape[0]
    model = ResNet50(width, blocks, 32 * width)
    names = {name: vggface2_name(name) for name in model.state_dict() if not name.endswith(COUNTER)}
    fill(model, state, names, path)
    stem = model.stem[0].weight
    with torch.no_grad():
        stem.copy_(stem.flip(1).clone())  # BGR -> RGB
    return model.eval()


def vggface2_name(name: str) -> str:
    """VGGFace2-pytorch's name of our tensor of that name."""
    name = re.sub(r"^body\.(\d)", lambda stage: f"layer{int(stage[1]) + 1}", name)
    for ours, theirs in {"stem.0": "conv1", "stem.1": "bn1", "norm": "bn", "shortcut": "downsample"}.items():
        name = name.replace(ours, theirs)
    return name
