"""A teacher learns toy people from scratch and verifies others."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
from rim_lightning.training.teacher import TeacherModule
from rim_lightning.types import NO_IDENTITY, FaceBatch


def toy_batches(people: int, batches: int, seed: int, size: int = 40) -> list[FaceBatch]:
    """Person = a direction of stripes and a color, at a random phase, with noise; uint8; every 8th unlabeled."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.arange(size).float()
    result = []
    for number in range(batches):
        identity = torch.randint(0, people, (16,), generator=generator)
        angle = identity * torch.pi / people
        along = angle.cos()[:, None, None] * grid[None, :, None] + angle.sin()[:, None, None] * grid[None, None, :]
        phase = torch.rand(16, 1, 1, generator=generator) * 6.28
        stripes = torch.sin(along * 0.8 + phase)[:, None]
        color = torch.tensor([[1, 0.2, 0.2], [0.2, 1, 0.2], [0.2, 0.2, 1], [0.7, 0.7, 0.2]])[identity % 4]
        noise = torch.randn(16, 3, size, size, generator=generator) * 20
        hr = (128 + 90 * stripes * color[:, :, None, None] + noise).clamp(0, 255).byte()
        identity[::8] = NO_IDENTITY
        index = torch.arange(16) + 16 * number
        result.append(FaceBatch(hr, {}, torch.full((16, size, size), 255, dtype=torch.uint8), identity, index))
    return result


def fit(epochs: int, batches: list[FaceBatch]) -> tuple[TeacherModule, pl.Trainer]:
    torch.manual_seed(0)
    module = TeacherModule(
        MobileFaceNet(width=8, blocks=(0, 1, 0), embedding_size=16, input_size=32),
        MarginSoftmax(16, 4, "arcface", margin=0.3, scale=16.0),
        IdentityVerification(pairs=40, seed=0, folds=2),
        learning_rate=1e-2,
        weight_decay=0.05,
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loader = DataLoader(batches, batch_size=None)
    trainer.fit(module, loader, DataLoader(toy_batches(4, 4, seed=1), batch_size=None))
    return module, trainer


@pytest.mark.slow
def test_learns_four_toy_people():
    batches = toy_batches(4, 30, seed=0)
    module, trainer = fit(3, batches)
    module.eval()
    identity = torch.cat([b.identity for b in batches])
    with torch.no_grad():
        embedding = torch.cat([module(b.hr) for b in batches])
    accuracy = float(module.margin(embedding, identity)["accuracy"])
    assert accuracy > 0.95
    assert trainer.callback_metrics["val/accuracy"] > 0.95  # the same people in other images
    assert trainer.callback_metrics["val/pairs"] > 0
    assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-4  # the cycle ran to its end


def test_takes_bytes_of_any_size_as_it_takes_floats_of_its_own():
    torch.manual_seed(0)
    module = TeacherModule(
        MobileFaceNet(width=4, blocks=(1, 1, 1), embedding_size=8, input_size=32),
        MarginSoftmax(8, 2, "arcface", margin=0.5, scale=64.0),
        IdentityVerification(pairs=4, seed=0, folds=2),
        learning_rate=1e-3,
        weight_decay=0.05,
    ).eval()
    flat = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)  # a flat image stays flat under any resize
    expected = module.backbone(torch.full((1, 3, 32, 32), 200 / 127.5 - 1))
    torch.testing.assert_close(module(flat), expected, atol=1e-5, rtol=1e-4)
