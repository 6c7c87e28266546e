"""Networks by name."""

import pytest
import torch

from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.resnet34 import ResNet34

TINY = {  # inception_resnet_v1 has one size only and its own test
    "mobilefacenet": {"width": 4, "blocks": (1, 1, 1), "embedding_size": 8, "input_size": 32},
    "iresnet50": {"width": 4, "units": (1, 1, 1, 1), "embedding_size": 8, "input_size": 32},
    "resnet34": {"width": 4, "blocks": (1, 1, 1, 1), "embedding_size": 8, "input_size": 32},
    "resnet50": {"width": 4, "blocks": (1, 1, 1, 1), "embedding_size": 8, "input_size": 48},
    "centerface": {"width": 4, "units": (1, 1, 1, 1), "embedding_size": 8, "input_size": 64},
}


@pytest.mark.parametrize("name", TINY)
def test_every_network_keeps_the_contract(name):
    torch.manual_seed(0)
    model = build_backbone(name, **TINY[name]).eval()
    x = torch.rand(2, 3, model.input_size, model.input_size) * 2 - 1
    x.requires_grad_()
    maps = model.stages(x)
    shapes = [(2, c, s, s) for c, s in zip(model.stage_channels, model.stage_sizes, strict=True)]
    assert [tuple(m.shape) for m in maps] == shapes
    embedding = model(x)
    assert embedding.shape == (2, model.embedding_size)
    torch.testing.assert_close(model.head(maps[-1]), embedding)
    # In eval mode no sample sees another: the gradient of the first embedding is zero at the second image.
    (gradient,) = torch.autograd.grad(embedding[0].square().sum(), x)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0
    with pytest.raises(ValueError, match="resize them first"):
        model(x[..., :-1])


def test_unknown_names_list_the_choices():
    with pytest.raises(ValueError, match='no backbone "resnet18"; choose one of mobilefacenet, iresnet50, resnet34'):
        build_backbone("resnet18")


def test_a_class_of_another_module_is_built_by_its_dotted_name(tmp_path, monkeypatch):
    (tmp_path / "backbones_of_this_test.py").write_text(
        "from rim_lightning.networks.backbones.resnet34 import ResNet34\n\nclass Mine(ResNet34):\n    mine = True\n"
    )
    with pytest.raises(ValueError, match=r'"backbones_of_this_test\.Mine" cannot be imported .* on PYTHONPATH'):
        build_backbone("backbones_of_this_test.Mine")
    monkeypatch.syspath_prepend(tmp_path)
    model = build_backbone("backbones_of_this_test.Mine", **TINY["resnet34"])
    assert model.mine
    assert isinstance(model, ResNet34)
    assert model.embedding_size == TINY["resnet34"]["embedding_size"]


@pytest.mark.parametrize("name", ["subprocess.Popen", "os.system", "torch.nn.Linear", "os.path.no_such_thing"])
def test_nothing_but_a_backbone_is_built_by_a_dotted_name(name):
    # A checkpoint names its backbones: it must not be able to call what it likes.
    with pytest.raises(ValueError, match=f'"{name}" is not a subclass'):
        build_backbone(name)
