import math

import pytest
import torch

from rim_lightning.losses.parsing import ParsingLoss
from rim_lightning.types import UNLABELED


def test_by_hand():
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 1, 0, 0] = math.log(2)  # probabilities ¼, ½, ¼; the other pixel has thirds
    parsing = torch.tensor([[[1, 2]]], dtype=torch.uint8)
    assert ParsingLoss()(logits, parsing).item() == pytest.approx((math.log(2) + math.log(3)) / 2)
    parsing[0, 0, 1] = UNLABELED
    assert ParsingLoss()(logits, parsing).item() == pytest.approx(math.log(2))


def test_every_pixel_equals_the_formula_with_the_label_under_its_center():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 11, 4, 3, dtype=torch.float64, generator=generator)
    parsing = torch.randint(0, 11, (2, 12, 15), generator=generator).to(torch.uint8)
    parsing[0, :5] = UNLABELED
    terms = []
    for b in range(2):
        for row in range(4):
            for column in range(3):
                label = int(parsing[b, int((row + 0.5) * 3), int((column + 0.5) * 5)])  # 1, 4, 7, 10 and 2, 7, 12
                if label != UNLABELED:
                    z = logits[b, :, row, column].tolist()
                    terms.append(math.log(sum(math.exp(v) for v in z)) - z[label])
    assert len(terms) == 18
    assert ParsingLoss()(logits, parsing).item() == pytest.approx(sum(terms) / len(terms))


def test_logits_finer_than_the_labels():
    logits = torch.randn(1, 11, 4, 4)
    parsing = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    large = parsing.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(ParsingLoss()(logits, parsing), ParsingLoss()(logits, large))


def test_unlabeled_pixels_have_no_influence_and_a_batch_of_them_gives_zero():
    logits = torch.randn(2, 11, 4, 4, requires_grad=True)
    parsing = torch.full((2, 4, 4), 3, dtype=torch.uint8)
    parsing[1] = UNLABELED
    ParsingLoss()(logits, parsing).backward()
    assert logits.grad[1].abs().max() == 0
    assert logits.grad[0].abs().min() > 0
    logits.grad = None
    loss = ParsingLoss()(logits, torch.full_like(parsing, UNLABELED))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().max() == 0


def test_bfloat16_logits_are_computed_in_fp32():
    logits = torch.randn(2, 11, 4, 4).bfloat16()
    parsing = torch.randint(0, 11, (2, 8, 8)).to(torch.uint8)
    value = ParsingLoss()(logits, parsing)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(ParsingLoss()(logits.double(), parsing).item(), rel=1e-5)
