"""The benchmark counts what is done: work by a formula, gradients by another way to them."""

import pytest
import torch
from torch import nn

from rim_lightning.networks.hallucination.blocks import scale_gradient
from rim_lightning.speed.authors_step import FiveBackwards
from rim_lightning.speed.step import forward_work, matmul_peak, measure_training
from rim_lightning.training.phases import domain_distance, hallucination_terms, prepare_step
from tests.helpers.stores import small_synthetic_store
from tests.integration.test_configs import composed
from tests.integration.test_fit import _batches, data_of, module_of, trainer_of


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=4, hr_size=32)


def convolution_work(network, *inputs):
    """GFLOP of the convolutions and linear layers of a forward pass, 2 k² C_in / groups for each output value."""
    total = []

    def count(layer, arguments, output):
        if isinstance(layer, nn.Linear):
            total.append(2 * layer.in_features * output.numel())
        else:
            total.append(2 * layer.weight[0].numel() * output.numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and not isinstance(layer, nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(total) / 1e9


def test_counted_forward_work_is_that_of_the_formula():
    module = module_of()
    work = forward_work(module)
    face = torch.zeros(1, 3, 32, 32)
    fhn = module.rim.fhn
    assert work["coarse"] == pytest.approx(convolution_work(fhn.coarse, face), rel=1e-6)
    assert work["paths"] == pytest.approx(convolution_work(fhn.generator, face), rel=1e-6)
    features = fhn.generator(face).features
    assert work["integrator"] == pytest.approx(convolution_work(fhn.integrator, features), rel=1e-6)
    assert work["teacher"] == work["student"] > 0
    assistant = module.rim.hrn.assistant
    pairs = zip(assistant.projections, assistant.backbone.stages(face), strict=True)
    projected = sum(convolution_work(projection, maps) for projection, maps in pairs)
    assert work["assistant"] == pytest.approx(work["student"] + projected, rel=1e-6)


@pytest.mark.parametrize("restricted", [False, True])
def test_five_backwards_have_the_gradients_of_their_losses(store, tmp_path, restricted):
    """Through everything: the gradient of the sum of the losses. Restricted: the coarse net's is that of its own loss
    and the pixel loss alone."""
    module = FiveBackwards.of(module_of([{"name": "fhn", "epochs": 1}], clip=None), restricted)
    gradients, batches = {}, []
    module.on_before_optimizer_step = lambda optimizer: gradients.update(
        {name: weight.grad.clone() for name, weight in module.rim.named_parameters() if weight.grad is not None}
    )
    prepare = module.training_probes
    module.training_probes = lambda hr: batches.append(prepare(hr)) or batches[-1]
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    trainer_of(tmp_path, 1, limit_train_batches=1).fit(module, data_of(store))
    other = module_of([{"name": "fhn", "epochs": 1}])
    other.load_state_dict(weights)
    other.train()
    step = prepare_step(other.rim, other.objective, next(_batches(store)), batches[0], "fhn", together=True)
    terms = hallucination_terms(other.rim, other.objective, step)
    losses = [terms[name] for name in ("coarse", "pixel")]
    if not restricted:
        features = (step.output.priors.features, step.output.hr_priors.features)
        domain = -domain_distance(other.rim, other.objective, *(scale_gradient(part, -1.0) for part in features))
        losses += [terms["landmark"], terms["parsing"], domain]
    coarse = {f"fhn.coarse.{name}": weight for name, weight in other.rim.fhn.coarse.named_parameters()}
    expected = torch.autograd.grad(sum(losses), list(coarse.values()))
    for name, value in zip(coarse, expected, strict=True):
        torch.testing.assert_close(gradients[name], value, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_a_configuration_is_measured(tmp_path):
    """The work of five retained backwards, of two and of one, in this order; all figures are what they say."""
    small_synthetic_store(tmp_path / "synthetic", people=12, views=4, hr_size=64)
    settings = [
        "model=tiny",
        "data=helen",
        f"data.stores.helen={tmp_path / 'synthetic'}",
        "data.batch_size=4",
        "workers=0",
    ]
    settings += [
        "teacher.weights=null",
        "schedule.stages=[{name: fhn, epochs: 1}]",
        "trainer.precision=32-true",
        "threads=1",
    ]
    figures = {
        alternation: measure_training(composed(*settings, f"system.alternation={alternation}"), steps=2, epochs=1)
        for alternation in ("five_backwards", "five_restricted", "sequential", "simultaneous")
    }
    work = [found["gflop_per_pair"] for found in figures.values()]
    assert work == sorted(work, reverse=True)
    assert work[0] > 2 * work[-1]
    for found in figures.values():
        assert found["pairs_per_s_low"] <= found["pairs_per_s"] <= found["pairs_per_s_high"]
        assert found["steps_per_s"] == pytest.approx(found["pairs_per_s"] / 4)
        assert found["peak_share"] == pytest.approx(
            found["gflop_per_pair"] * found["pairs_per_s"] / found["peak_gflop_per_s"]
        )
        assert 0 < found["data_wait"] < 1
        assert 0.1 < found["memory_gb"] < 8
        assert 0 < found["mmd_share"] < 1
    # One forward of everything and a backward, about three forwards.
    forward = figures["simultaneous"]["gflop_forward"]
    once = forward["coarse"] + 2 * forward["paths"] + forward["integrator"] + 2 * forward["discriminator"]
    assert work[-1] == pytest.approx(3 * once, rel=0.1)


def test_a_matrix_product_has_a_peak():
    assert 1e9 < matmul_peak(torch.device("cpu"), torch.float32) < 1e15
