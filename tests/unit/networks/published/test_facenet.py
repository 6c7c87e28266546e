"""Weight files of facenet-pytorch against its own forward pass."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.published.facenet import load_facenet_pytorch


@pytest.fixture(scope="module")
def original():
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(0)
    net = InceptionResnetV1(pretrained=None, classify=True, num_classes=3)  # published files hold a classifier too
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
    net.classify = False
    return net.eval()


@torch.inference_mode()
def test_a_loaded_network_equals_facenet_pytorch(original, tmp_path):
    torch.save(original.state_dict(), tmp_path / "vggface2.pt")
    model = load_facenet_pytorch(tmp_path / "vggface2.pt")
    pixels = torch.randint(0, 256, (1, 3, 160, 160), generator=torch.Generator().manual_seed(0)).float()
    expected = original((pixels - 127.5) / 128)  # its fixed_image_standardization; L2-normalized by its forward
    x = pixels / 127.5 - 1
    torch.testing.assert_close(F.normalize(model(x)), expected, atol=1e-5, rtol=0)
    shapes = [(1, c, s, s) for c, s in zip(model.stage_channels, model.stage_sizes, strict=True)]
    assert [tuple(m.shape) for m in model.stages(x)] == shapes

    torch.save({k: v for k, v in original.state_dict().items() if k != "last_bn.bias"}, tmp_path / "cut.pt")
    with pytest.raises(ValueError, match=r"cut.pt lacks last_bn.bias"):
        load_facenet_pytorch(tmp_path / "cut.pt")
