import math

import pytest
import torch

from rim_lightning.losses.distillation import StageDistillation, residual_targets


def distance(kind="l2", normalize=False):
    """Plain squared distance unless something else is given."""
    return StageDistillation(kind, normalize)


def stages(seed, scales=(1.0, 30.0), dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [
        (scale * torch.randn(2, channels, side, side, generator=generator, dtype=torch.float64)).to(dtype)
        for scale, channels, side in zip(scales, (3, 6), (4, 2), strict=True)
    ]


def test_residual_targets_are_the_difference_without_gradient():
    teacher, student = stages(0), stages(1)
    for stage in teacher + student:
        stage.requires_grad_()
    for k, residual in enumerate(residual_targets(teacher, student)):
        assert torch.equal(residual, teacher[k] - student[k])
        assert not residual.requires_grad


def test_teacher_equals_student_plus_assistant_at_zero_loss():
    # Eq 12 is zero exactly where f_S + f_A = f_T.
    teacher, student = stages(0), stages(1)
    assistant = [t - s for t, s in zip(teacher, student, strict=True)]
    assert distance()(residual_targets(teacher, student), assistant).item() == 0


def test_l2_by_hand():
    target, prediction = (
        [torch.zeros(1, 2), torch.zeros(1, 1, 2, 2)],
        [torch.tensor([[3.0, 1.0]]), torch.ones(1, 1, 2, 2)],
    )
    assert distance()(target, prediction).item() == pytest.approx((5 + 1) / 2)
    reference = [torch.full((1, 2), 2.0), torch.full((1, 1, 2, 2), 0.5)]  # mean squares 4 and ¼
    assert distance(normalize=True)(target, prediction, reference).item() == pytest.approx((5 / 4 + 4) / 2)


def test_weights_of_stages_make_a_weighted_mean():
    target, prediction = stages(0), stages(1)
    first, second = (distance()([t], [p]).item() for t, p in zip(target, prediction, strict=True))
    weighted = distance()(target, prediction, weights=(1.0, 3.0))
    assert weighted.item() == pytest.approx((first + 3 * second) / 4)
    assert distance()(target, prediction, weights=(0.0, 2.0)).item() == pytest.approx(second)
    assert torch.equal(distance()(target, prediction, weights=(1, 1)), distance()(target, prediction))


def test_cosine_by_hand():
    target = [torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[[[1.0]], [[1.0]]]] * 2)]
    prediction = [torch.tensor([[5.0, 0.0], [1.0, 0.0]]), torch.tensor([[[[0.0]], [[3.0]]]] * 2)]
    expected = ((0 + 1) / 2 + 1 - math.sqrt(0.5)) / 2
    assert distance("cosine")(target, prediction).item() == pytest.approx(expected)


def test_normalized_stages_do_not_feel_their_scale():
    loss = distance(normalize=True)
    teacher, prediction = stages(0), stages(1)
    scaled = [[s * f for s, f in zip(maps, (10.0, 0.01), strict=True)] for maps in (teacher, prediction)]
    assert loss(teacher, prediction, teacher).item() == pytest.approx(loss(*scaled, scaled[0]).item())


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"kind": "cosine"}])
def test_gradient_goes_to_the_prediction_only_and_equals_finite_differences(options):
    loss = distance(**options)
    target, prediction = stages(0), [stage.requires_grad_() for stage in stages(1)]
    for stage in target:
        stage.requires_grad_()
    reference = target if options.get("normalize") else None
    assert torch.autograd.gradcheck(lambda *maps: loss(target, maps, reference), prediction)
    loss(target, prediction, reference).backward()
    assert all(stage.grad is None for stage in target)


def test_bfloat16_is_computed_in_fp32():
    target, prediction = stages(0, dtype=torch.bfloat16), stages(1, dtype=torch.bfloat16)
    value = distance()(target, prediction)
    doubles = [[stage.double() for stage in maps] for maps in (target, prediction)]
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(distance()(*doubles).item(), rel=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'kl'"):
        distance("kl")
    with pytest.raises(ValueError, match="no scale"):
        distance("cosine", normalize=True)
    with pytest.raises(ValueError, match="project"):
        distance()(stages(0), stages(1)[::-1])
    with pytest.raises(ValueError, match="project"):
        residual_targets(stages(0), stages(1)[:1])
    with pytest.raises(ValueError, match="reference"):
        distance(normalize=True)(stages(0), stages(1))
    with pytest.raises(ValueError, match="reference"):
        distance()(stages(0), stages(1), stages(0))
