import pytest
import torch

from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.widening import widened
from tests.helpers.tiny import BACKBONE, perturbed
from tests.unit.networks.backbones.test_input import SMALL, images

WIDTHS = {"mobilefacenet": (8, 13), "iresnet50": (4, 8), "resnet34": (4, 6), "resnet50": (4, 6), "centerface": (4, 6)}


def spread(unevenness=0.0, seed=0, **arguments):
    """A narrow network in float64, and a wide one with its weights."""
    name = arguments["name"]
    arguments |= {"embedding_size": 16}  # that of resnet50 would grow with its width
    torch.manual_seed(0)
    narrow = perturbed(build_backbone(**arguments)).double().eval()
    wide = build_backbone(**(arguments | {"width": WIDTHS[name][1]})).double().eval()
    generator = torch.Generator().manual_seed(seed)
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict(), unevenness, generator))
    return narrow, wide


@pytest.mark.parametrize("unevenness", [0.0, 0.5])
@pytest.mark.parametrize("name", WIDTHS)
def test_the_wide_network_computes_what_the_narrow_one_does(name, unevenness):
    narrow, wide = spread(unevenness, **SMALL[name])
    faces = images(narrow).double()
    torch.testing.assert_close(wide(faces), narrow(faces), rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(wide.stages(faces), narrow.stages(faces), strict=True):
        copies = torch.arange(ours.shape[1]) % theirs.shape[1]
        torch.testing.assert_close(ours, theirs[:, copies], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("unevenness", [0.0, 0.5])
def test_copies_part_only_if_their_shares_are_uneven(unevenness):
    _, wide = spread(unevenness, **(BACKBONE | {"normalization": "batch"}))
    wide(images(wide).double()).square().sum().backward()
    gradient = wide.stage2[0].expand.conv.weight.grad  # (26, 13, 1, 1); channels 16 to 25 are copies of 0 to 9
    difference = (gradient[16:] - gradient[:10]).abs().max() / gradient.abs().max()
    assert difference < 1e-9 if unevenness == 0 else difference > 0.05


def test_other_layers_and_narrower_ones_are_refused():
    small, large = (build_backbone(**(BACKBONE | {"width": width})).state_dict() for width in (8, 12))
    deeper = build_backbone(**(BACKBONE | {"width": 12, "blocks": (1, 2, 1)})).state_dict()
    with pytest.raises(ValueError, match="not wider than"):
        widened(large, small, 0.0, torch.Generator())
    with pytest.raises(ValueError, match="The networks differ in stage3"):
        widened(small, deeper, 0.0, torch.Generator())
