"""Metrics of two gloo ranks, whose sampler repeats samples, must equal those of one process without repeats.

Slow, because every rank imports torchmetrics anew.
"""

import pytest
import torch

from rim_lightning.metrics.domain_gap import DomainGap
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.metrics.verification import IdentityVerification
from tests.helpers.ddp import run_ranks


def metrics(rows):
    """Figures of each metric after updates with `rows`, which may hold repeats."""
    generator = torch.Generator().manual_seed(1)
    gallery, probe = torch.randn(2, 24, 6, generator=generator)
    identity = torch.arange(24) // 4
    images, others = torch.rand(2, 24, 3, 12, 12, generator=generator)
    points = torch.rand(24, 5, 2, generator=generator)
    logits, parsing = torch.randn(24, 11, 3, 3, generator=generator), identity.to(torch.uint8)
    metrics_and_data = {
        "verification": (IdentityVerification(20, seed=0, folds=3), (gallery, probe, identity)),
        "image quality": (ImageQuality("y"), (images, others)),
        "nme": (NormalizedMeanError("five"), (points + 0.1 * points.flip(0), points)),
        "domain gap": (DomainGap(torch.ones(1)), (gallery, probe, identity)),
        "miou": (ParsingIoU(), (logits, parsing[:, None, None].expand(-1, 3, 3).contiguous())),
    }
    results = {}
    for name, (metric, data) in metrics_and_data.items():
        for part in rows.split(5):
            metric.update(*(value[part] for value in data), part)
        figures = metric.compute()
        figures = figures if isinstance(figures, dict) else {name: figures}
        results[name] = {key: value.item() for key, value in figures.items()}
    return results


def on_one_rank(rank, world):
    # As a distributed sampler deals 24 samples and a few repeats: in turns.
    return metrics(torch.cat([torch.arange(24), torch.arange(4)])[rank::world])


@pytest.mark.slow
def test_two_ranks_with_repeats_equal_one_process(tmp_path):
    expected = metrics(torch.arange(24))
    for figures in run_ranks(on_one_rank, tmp_path):
        assert figures.keys() == expected.keys()
        for name in expected:
            assert figures[name] == pytest.approx(expected[name], rel=1e-6, nan_ok=True)
