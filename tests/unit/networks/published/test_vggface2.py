"""ResNet-50 and the reader of its files against torchvision's, with the strides and the pool of the Caffe original.

Files of VGGFace2: cydonia999/VGGFace2-pytorch, models/resnet.py; its names are torchvision's.
"""

import pickle

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet

from rim_lightning.networks.backbones.resnet50 import ResNet50
from rim_lightning.networks.published.vggface2 import CONVERSION, load_vggface2

BLOCKS = (2, 1, 1, 1)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    net = ResNet(Bottleneck, list(BLOCKS), num_classes=3)
    net.maxpool = torch.nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
    for layer in (net.layer2, net.layer3, net.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or (value.ndim == 1 and name.endswith("bias")):
            value.normal_(0, 0.1)
    return net.eval()


def original_maps(net, bgr):
    x = net.maxpool(net.relu(net.bn1(net.conv1(bgr))))
    maps = []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        maps.append(x)
    return maps


def faces(size):
    """Pixels 0..255 in RGB, and the same in [-1, 1]; BGR minus the published mean."""
    pixels = torch.randint(0, 256, (1, 3, size, size), generator=torch.Generator().manual_seed(1)).float()
    mean_bgr = torch.tensor([91.4953, 103.8827, 131.0912]).view(3, 1, 1)
    return pixels / 127.5 - 1, pixels[:, [2, 1, 0]] - mean_bgr


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@torch.inference_mode()
def test_loaded_network_equals_the_original_on_bgr_minus_mean(original, tmp_path):
    torch.save({f"module.{name}": value for name, value in original.state_dict().items()}, tmp_path / "net.pth")
    model = load_vggface2(tmp_path / "net.pth")
    assert not model.training
    assert (model.embedding_size, model.input_size) == (2048, 224)
    x, bgr = faces(224)
    maps = original_maps(original, bgr)
    for actual, expected, size in zip(model.stages(x), maps, (56, 28, 14, 7), strict=True):
        assert expected.shape[-1] == size
        close(actual, expected)
    close(model(x), maps[-1].mean(dim=(2, 3)))

    small = ResNet50(blocks=BLOCKS, embedding_size=5, input_size=112).eval()
    small.load_state_dict(model.state_dict(), strict=False)
    x, bgr = faces(112)
    maps = original_maps(original, bgr)
    assert small.stage_sizes == tuple(m.shape[-1] for m in maps) == (28, 14, 7, 4)
    for actual, expected in zip(small.stages(x), maps, strict=True):
        close(actual, expected)
    close(small(x), maps[-1].mean(dim=(2, 3)) @ small.embed[2].weight.T + small.embed[2].bias)


@torch.inference_mode()
def test_a_pickle_is_refused_with_a_conversion_that_works(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays = {k: v.numpy() for k, v in original.state_dict().items() if not k.endswith("num_batches_tracked")}
    with open("net.pkl", "wb") as file:
        pickle.dump(arrays, file, protocol=2)
    with pytest.raises(ValueError, match=r"net.pkl is a pickle, which can run code") as error:
        load_vggface2("net.pkl")
    assert CONVERSION in str(error.value)
    exec(CONVERSION)
    x, bgr = faces(224)
    close(load_vggface2("net.pth")(x), original_maps(original, bgr)[-1].mean(dim=(2, 3)))


def test_wrong_checkpoints_are_refused_by_name(original, tmp_path):
    state = original.state_dict()
    path = tmp_path / "net.pth"
    victim = "layer3.0.bn2.running_mean"

    def refused(content, match):
        torch.save(content, path)
        with pytest.raises(ValueError, match=match):
            load_vggface2(path)

    refused({k: v for k, v in state.items() if k != victim}, f"net.pth lacks {victim}")
    refused({**state, "extra.weight": torch.zeros(1)}, "net.pth holds extra.weight, which this ResNet50")
    refused({**state, victim: torch.zeros(5)}, rf"{victim} in .*net.pth is of shape \(5,\)")
    refused({"some": torch.zeros(1)}, "net.pth does not hold a ResNet-50 named as in VGGFace2-pytorch")
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"net.pth is not a PyTorch weight file"):
        load_vggface2(path)
    with pytest.raises(FileNotFoundError, match=r"no weight file at .*absent.pkl"):
        load_vggface2(tmp_path / "absent.pkl")
