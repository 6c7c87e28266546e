"""The head of the ArcFace family against a recomputation."""

import torch

from rim_lightning.networks.backbones.head import embedding_head


def test_head_normalizes_flattens_maps_linearly_and_normalizes():
    torch.manual_seed(0)
    head = embedding_head(4, 2, 6, dropout=0.5).double()
    for _ in range(3):
        head(torch.randn(8, 4, 2, 2, dtype=torch.float64) * 2 + 1)  # statistics away from their start
    head.eval()  # without dropout
    maps = torch.randn(3, 4, 2, 2, dtype=torch.float64)
    before, linear, after = head[0], head[3], head[4]
    y = (maps - before.running_mean.view(4, 1, 1)) / (before.running_var.view(4, 1, 1) + before.eps).sqrt()
    y = y.flatten(1) @ linear.weight.T
    y = (y - after.running_mean) / (after.running_var + after.eps).sqrt()
    assert linear.bias is None
    torch.testing.assert_close(head(maps), y)
