"""The network against facenet-pytorch's own forward pass."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.inception_resnet import InceptionResnetV1


@torch.inference_mode()
def test_equals_facenet_pytorch_of_the_same_seed():
    from facenet_pytorch import InceptionResnetV1 as Original

    networks = []
    for build in (InceptionResnetV1, lambda: Original(pretrained=None)):
        torch.manual_seed(0)
        networks.append(build().eval())
    ours, original = networks
    pixels = torch.randint(0, 256, (1, 3, 160, 160), generator=torch.Generator().manual_seed(0)).float()
    expected = original((pixels - 127.5) / 128)  # its fixed_image_standardization; its output has length 1
    x = pixels / 127.5 - 1
    torch.testing.assert_close(F.normalize(ours(x)), expected, atol=1e-5, rtol=0)
    shapes = [(1, c, s, s) for c, s in zip(ours.stage_channels, ours.stage_sizes, strict=True)]
    assert [tuple(m.shape) for m in ours.stages(x)] == shapes
    with pytest.raises(ValueError, match=r"\(B, 3, 160, 160\), got \(1, 3, 112, 112\)"):
        ours(x[..., :112, :112])
