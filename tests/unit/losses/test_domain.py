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


def test_a_queue_compares_a_batch_among_the_last_embeddings():
    """The value is the MMD of all of them, the gradient that of their sum, in the strength of one batch."""
    loss = domain_loss(multipliers=(1.0,), queue=20).double()
    batches = [embeddings(seed=seed) for seed in range(4)]
    for count, (x, y) in enumerate(batches):
        x.requires_grad_()
        (ours,) = torch.autograd.grad(value := loss(x, y), x)
        newest_first = batches[count::-1]
        all_x, all_y = (torch.cat([b[side].detach() for b in newest_first])[:20] for side in (0, 1))
        all_x.requires_grad_()
        expected = mk_mmd(all_x, all_y, joint_bandwidth(all_x, all_y)[None], torch.ones(1))
        (gradient,) = torch.autograd.grad(expected, all_x)
        assert value.item() == pytest.approx(expected.item())
        torch.testing.assert_close(ours, gradient[:8] * len(all_x) / 8)
    assert len(all_x) == 20


def test_a_second_look_at_a_batch_takes_its_place_in_the_queue():
    loss, other = (domain_loss(queue=20).double() for _ in range(2))
    for seed in range(3):
        first, second = embeddings(seed=seed), embeddings(seed=seed + 10)
        loss(*first)
        assert loss(*second, advance=False).item() == pytest.approx(other(*second).item())
    assert torch.equal(loss.past, other.past)


def test_a_queue_is_carried_over_and_evaluation_leaves_it_alone():
    loss, other = (domain_loss(queue=20).double() for _ in range(2))
    loss(*embeddings(seed=0))
    other.past = loss.past.clone()
    plain = domain_loss().double()
    for copy in (loss, other):
        assert copy.eval()(*embeddings(seed=1)).item() == pytest.approx(plain(*embeddings(seed=1)).item())
        copy.train()
    assert loss(*embeddings(seed=2)).item() == other(*embeddings(seed=2)).item() != plain(*embeddings(seed=2)).item()


def test_a_queue_no_longer_than_the_batch_changes_nothing():
    assert domain_loss(queue=8).double()(*embeddings()) == domain_loss().double()(*embeddings())


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
