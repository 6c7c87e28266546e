"""The super-resolution networks by name."""

import pytest
import torch

from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.hallucination.coarse import CoarseSR
from tests.helpers.super_resolution import probe

COARSE = {"reduction": 8, "pool": 4, "widths": [4, 4, 4, 4], "blocks": [1, 0, 0, 0], "factors": [2, 2, 2]}
TINY = {
    "srcnn": {"widths": (4, 3)},
    "vdsr": {"depth": 3, "width": 4},
    "lapsrn": {"depth": 1, "width": 4},
    "esrgan": {"blocks": 1, "width": 4, "growth": 2},
    "coarse": {"network": COARSE},
    "bicubic": {},
}


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("name", TINY)
def test_every_network_keeps_the_contract(name, size):
    torch.manual_seed(0)
    network = build_super_resolver(name, **TINY[name])
    enlarged = probe(size).requires_grad_()
    levels = network.levels(enlarged)
    sides = [size // 4, size // 2, size] if name == "lapsrn" else [size]
    assert [tuple(face.shape) for face in levels] == [(2, 3, side, side) for side in sides]
    face = network(enlarged)
    assert torch.equal(face, levels[-1])
    # No sample sees another, and the last level alone reaches every parameter.
    gradient, *parameter_gradients = torch.autograd.grad(face[0].square().sum(), [enlarged, *network.parameters()])
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0
    for (key, _), parameter_gradient in zip(network.named_parameters(), parameter_gradients, strict=True):
        assert parameter_gradient.abs().max() > 0, key


def test_coarse_is_the_coarse_net():
    torch.manual_seed(0)
    expected = CoarseSR(**COARSE)
    torch.manual_seed(0)
    assert torch.equal(build_super_resolver("coarse", network=COARSE)(probe(32)), expected(probe(32)).faces)


def test_bicubic_is_the_enlarged_probe():
    network = build_super_resolver("bicubic")
    assert torch.equal(network(probe(16)), probe(16))
    assert list(network.parameters()) == []


@pytest.mark.parametrize("name", ["lapsrn", "esrgan"])
def test_sizes_and_factors_that_do_not_fit_are_refused(name):
    with pytest.raises(ValueError, match="60x60 pixels has no grid 8 times smaller"):
        build_super_resolver(name, **TINY[name])(probe(60))
    with pytest.raises(ValueError, match=r"must be 2, 4, 8, ..., got 6"):
        build_super_resolver(name, factor=6, **TINY[name])
    with pytest.raises(ValueError, match="got 1"):
        build_super_resolver(name, factor=1, **TINY[name])


def test_unknown_names_list_the_choices():
    with pytest.raises(
        ValueError, match='no super-resolution network "srgan"; choose one of srcnn, vdsr, lapsrn, esrgan, coarse'
    ):
        build_super_resolver("srgan")
