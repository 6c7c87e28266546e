import pytest
import torch

from rim_lightning.functional.mk_mmd import joint_bandwidth, mk_mmd
from tests.helpers.tiny import domain_loss


def embeddings(rows=8, seed=0, scale=1.0, shift=0.5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, rows, 6, generator=generator, dtype=torch.float64) * scale
    return x.to(dtype), (y + shift).to(dtype)


@pytest.mark.parametrize("estimator", ["unbiased", "biased", "linear"])
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_is_the_mmd_with_kernels_around_the_joint_bandwidth(estimator, statistic):
    x, y = embeddings()
    sigma = joint_bandwidth(x, y, statistic)
    terms = [mk_mmd(x, y, (sigma * m)[None], torch.ones(1), estimator) for m in (0.5, 1, 8)]
    loss = domain_loss(estimator=estimator, bandwidth=statistic, multipliers=(0.5, 1, 8)).double()
    assert loss(x, y).item() == pytest.approx(torch.stack(terms).mean().item())  # β uniform


def test_the_scale_of_the_embedding_does_not_matter():
    near, far = (domain_loss().double()(*embeddings(scale=s, shift=s / 2)).item() for s in (1.0, 50.0))
    assert near == pytest.approx(far)


def test_the_bandwidth_is_a_constant_to_the_gradient():
    x, y = embeddings()
    sigma = joint_bandwidth(x, y)
    x.requires_grad_()
    loss = domain_loss(multipliers=(1.0,)).double()
    (ours,) = torch.autograd.grad(loss(x, y), x)
    (fixed,) = torch.autograd.grad(mk_mmd(x, y, sigma[None], torch.ones(1)), x)
    assert torch.allclose(ours, fixed, rtol=1e-12, atol=0)


def test_learned_weights_stay_on_the_simplex_and_can_raise_the_loss():
    x, y = embeddings(rows=32)
    loss = domain_loss(learned_weights=True).double()
    assert loss(x, y).item() == pytest.approx(domain_loss().double()(x, y).item())  # they start uniform
    optimizer = torch.optim.SGD(loss.parameters(), lr=200.0)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(x, y)
        (-value).backward()
        optimizer.step()
        values.append(value.item())
    weights = loss.weight_logits.softmax(0)
    assert values[-1] > 1.05 * values[0]
    assert weights.sum().item() == pytest.approx(1)
    assert weights.min() > 0


def test_uniform_weights_are_no_parameter():
    assert list(domain_loss().parameters()) == []


def test_smoothing_blends_bandwidths_in_training_and_only_reads_in_evaluation():
    loss = domain_loss(multipliers=(1.0,), smoothing=0.75).double()
    first, second = embeddings(seed=0), embeddings(seed=1, scale=3.0)
    one, two = joint_bandwidth(*first), joint_bandwidth(*second)
    loss(*first)
    assert loss.running_bandwidth.item() == pytest.approx(one.item())
    blend = 0.75 * one + 0.25 * two
    assert loss(*second).item() == pytest.approx(mk_mmd(*second, blend[None], torch.ones(1)).item())
    assert loss.running_bandwidth.item() == pytest.approx(blend.item())
    loss.eval()
    assert loss(*first).item() == pytest.approx(mk_mmd(*first, blend[None], torch.ones(1)).item())
    assert loss.running_bandwidth.item() == pytest.approx(blend.item())
    assert loss.state_dict().keys() == {"running_bandwidth"}


def test_evaluation_before_training_has_the_bandwidth_of_its_batch():
    x, y = embeddings()
    assert domain_loss(smoothing=0.9).double().eval()(x, y).item() == pytest.approx(domain_loss().double()(x, y).item())


def test_autocast_changes_nothing():
    x, y = embeddings(dtype=torch.float32)
    expected = domain_loss()(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(domain_loss()(x, y), expected)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="positive factors"):
        domain_loss(multipliers=(1.0, 0.0))
    with pytest.raises(ValueError, match=r"1.0"):
        domain_loss(smoothing=1.0)
