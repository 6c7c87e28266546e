import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rim_lightning.losses.perceptual import PerceptualLoss
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher


class Factors(Backbone):
    """Stage k is k times the image."""

    def __init__(self, input_size):
        super().__init__()
        self.input_size, self.embedding_size, self.embed = input_size, None, None
        self.stage_channels, self.stage_sizes = (3,) * 4, (input_size,) * 4
        self.unit = nn.Parameter(torch.ones((), dtype=torch.float64))

    def stages(self, x):
        self.check_input(x)
        return [number * self.unit * x for number in (1, 2, 3, 4)]


def factors(input_size=4):
    return FrozenTeacher(Factors(input_size))


def faces(size=4):
    return torch.rand(2, 2, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def test_by_hand():
    target = torch.zeros(1, 3, 4, 4)
    prediction = target.clone()
    prediction[0, 0, 0, 0], prediction[0, 2, 1, 1] = 0.5, -1.0
    assert PerceptualLoss(factors())(prediction, target).item() == pytest.approx(4 * 1.5 / 48)


def test_faces_are_resized_to_the_network():
    prediction, target = faces(size=16)
    small = F.interpolate(prediction - target, (4, 4), mode="bicubic", antialias=True)  # resizing is linear
    expected = (4 * small).abs().mean()
    assert PerceptualLoss(factors())(prediction, target).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("size", [4, 8])
def test_gradient_equals_finite_differences(size):
    prediction, target = faces(size)[:, :1]
    loss = PerceptualLoss(factors())
    assert torch.autograd.gradcheck(lambda p: loss(p, target), prediction.clone().requires_grad_())


def test_a_face_network_stays_as_it_is_and_sends_gradient_to_the_prediction_alone():
    torch.manual_seed(0)
    backbone = build_backbone("mobilefacenet", width=4, blocks=(1, 1, 1), embedding_size=8, input_size=32)
    loss = PerceptualLoss(FrozenTeacher(backbone)).train()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    prediction, target = (face.float().requires_grad_() for face in faces(size=64))
    value = loss(prediction, target)
    with torch.no_grad():
        shrink = [F.interpolate(face, (32, 32), mode="bicubic", antialias=True) for face in (prediction, target)]
        ours, theirs = (backbone.stages(face) for face in shrink)
        expected = (ours[3] - theirs[3]).abs().double().mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    value.backward()
    assert prediction.grad.abs().max() > 0
    assert target.grad is None
    assert not any(p.requires_grad or p.grad is not None for p in loss.parameters())
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    assert loss(target, target).item() == 0


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        PerceptualLoss(factors())(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))
