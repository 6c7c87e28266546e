"""ResNet-50 has the parameters of torchvision's; published/test_vggface2.py compares the outputs."""

import pytest
import torch

from rim_lightning.networks.backbones.resnet50 import ResNet50


def test_body_has_resnet50s_parameters():
    # torchvision's resnet50 counts 25,557,032 with its classifier of 2048 * 1000 + 1000; strides have no parameters.
    assert sum(p.numel() for p in ResNet50().parameters()) == 25_557_032 - 2_049_000
    pooled, linear = ResNet50(width=4, embedding_size=128), ResNet50(width=4, embedding_size=127)
    assert not list(pooled.embed.parameters())
    assert sum(p.numel() for p in linear.embed.parameters()) == 128 * 127 + 127
    with pytest.raises(ValueError, match="multiple of 16, got 100"):
        ResNet50(width=4, input_size=100)
    with pytest.raises(RuntimeError, match="ResNet50 has no head"):
        ResNet50(4, (1, 1, 1, 1), None, 16)(torch.zeros(2, 3, 16, 16))
