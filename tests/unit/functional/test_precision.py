import pytest
import torch

from rim_lightning.functional.precision import full_precision


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.uint8, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_is_raised_and_double_left_alone(given, wanted):
    raised = full_precision(torch.tensor([0, 1, 3]).to(given))
    assert raised.dtype == wanted
    assert raised.tolist() == [0, 1, 3]
