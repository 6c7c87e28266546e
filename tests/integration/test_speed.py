"""rim-speed counts the work that is done: work by a formula, gradients by another way to them."""

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import nn

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.functional.gradient import scale_gradient
from rim_lightning.speed.authors_step import FiveBackwards
from rim_lightning.speed.rows import expand
from rim_lightning.speed.step import forward_work, matmul_peak, measure_training
from rim_lightning.training.phases import domain_distance, hallucination_terms, prepare_step
from rim_lightning.training.rim_module import RIMModule
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
    module = module_of([{"name": "fhn", "epochs": 1}], clip=None, system=FiveBackwards, restricted=restricted)
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


def test_the_schedules_of_five_backwards_move(store, tmp_path):
    """The rate rises within the warm-up, as in RIM's own step."""
    module = module_of([{"name": "fhn", "epochs": 1}], system=FiveBackwards, restricted=False, warmup=1.0)
    trainer_of(tmp_path, 1, limit_train_batches=2).fit(module, data_of(store))
    batches = [scheduler.last_epoch for scheduler in module.lr_schedulers()]
    assert batches == [2, 2, 0, 0]  # domain, hallucination; student and assistant rest


def test_five_backwards_are_of_one_stage_only():
    with pytest.raises(ValueError, match=r"of the stage fhn, not of hrn: set schedule.stages.0.name=fhn"):
        module_of([{"name": "hrn", "epochs": 1}], system=FiveBackwards, restricted=False)


def rows_of_grids():
    for file in sorted((CONF_DIR / "grid").glob("*.yaml")):
        for row in expand(OmegaConf.load(file).rows, []):
            yield pytest.param(row, id=f"{file.stem}: {row.label}")


@pytest.mark.parametrize("row", list(rows_of_grids()))
def test_every_row_of_a_grid_composes(row):
    common = OmegaConf.to_container(composed(config="speed").common, resolve=True)
    cfg = composed(*common, *row.overrides)
    system = get_class(cfg.system._target_)
    assert system is (FiveBackwards if "system=authors_step" in row.label else RIMModule)


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
    # One graph through everything, as in the paper; with detached parts there is less to go through again.
    network = ("coarse_gradient=full", "prior_pixel_gradient=1", "integrator_input=both", "residual=coarse")
    settings += [f"model.hallucination.{setting}" for setting in network]
    systems = {
        "five backwards": ["system=authors_step"],
        "five restricted": ["system=authors_step", "system.restricted=true"],
        "sequential": ["system.alternation=sequential"],
        "simultaneous": ["system.alternation=simultaneous"],
    }
    figures = {
        name: measure_training(composed(*settings, *system), steps=2, epochs=1) for name, system in systems.items()
    }
    work = [measured["gflop_per_pair"] for measured in figures.values()]
    assert work == sorted(work, reverse=True)
    assert work[0] > 2 * work[-1]
    for measured in figures.values():
        assert measured["pairs_per_s_low"] <= measured["pairs_per_s"] <= measured["pairs_per_s_high"]
        assert measured["steps_per_s"] == pytest.approx(measured["pairs_per_s"] / 4)
        assert measured["peak_share"] == pytest.approx(
            measured["gflop_per_pair"] * measured["pairs_per_s"] / measured["peak_gflop_per_s"]
        )
        assert 0 < measured["data_wait"] < 1
        assert 0.1 < measured["memory_gb"] < 8
        assert 0 < measured["mmd_share"] < 1
    # One forward of everything and a backward, about three forwards.
    forward = figures["simultaneous"]["gflop_forward"]
    once = forward["coarse"] + 2 * forward["paths"] + forward["integrator"] + 2 * forward["discriminator"]
    assert work[-1] == pytest.approx(3 * once, rel=0.1)
    with pytest.raises(ValueError, match=r"rim-speed measures RIM; this system is a super_resolver"):
        measure_training(composed("experiment=srcnn", "data=synthetic"), steps=1, epochs=1)


def test_a_matrix_product_has_a_peak():
    assert 1e9 < matmul_peak(torch.device("cpu"), torch.float32) < 1e15
