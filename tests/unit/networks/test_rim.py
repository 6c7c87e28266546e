"""RIM: its arguments, both embeddings of a probe in one forward pass, compilation."""

import pytest
import torch

from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import BACKBONE, MODEL, TWO_VIEWS, perturbed

PARTS = ("teacher", "student", "assistant")


@pytest.mark.parametrize("head", ["teacher", "student", "own", "flatten"])
@pytest.mark.parametrize("input_size", [32, 16])
def test_one_forward_pass_gives_the_embeddings_of_the_separate_calls(head, input_size):
    """Faces, student and sum are equal bit for bit, also where the recognition networks take smaller faces."""
    torch.manual_seed(0)
    backbones = dict.fromkeys(PARTS, BACKBONE | {"input_size": input_size})
    rim = perturbed(RIM(**(MODEL | {"recognition": backbones | {"head": head}}))).eval()
    enlarged = 2 * torch.rand(3, 3, 32, 32) - 1
    passes = []
    hook = rim.fhn.register_forward_hook(lambda *_: passes.append(1))
    embeddings = rim.probe_embeddings(enlarged)
    assert len(passes) == 1
    hook.remove()
    sr = rim.fhn(enlarged).sr
    assert torch.equal(embeddings.sr, sr)
    assert torch.equal(embeddings.student, rim.hrn.probe(ProbeViews(sr), assistant=False))
    assert torch.equal(embeddings.rim, rim.embed_probe(enlarged))
    assert not torch.equal(embeddings.student, embeddings.rim)
    # The teacher on the hallucinated face sees the same whether that was resized before or not.
    assert torch.equal(rim.embed_gallery(embeddings.sr), rim.embed_gallery(rim.hrn.resized(sr)))


def test_the_arguments_rebuild_the_network():
    torch.manual_seed(0)
    rim = RIM(**MODEL)
    torch.manual_seed(0)
    again = RIM(**rim.arguments)
    assert again.arguments == rim.arguments == MODEL
    assert again.state_dict().keys() == rim.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in rim.state_dict().items())


def test_every_network_is_compiled_and_no_name_changes(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    rim = RIM(**MODEL)
    names = list(rim.state_dict())
    rim.compile_networks()
    assert list(rim.state_dict()) == names
    covered = {id(parameter) for module in compiled for parameter in module.parameters()}
    projections = {id(p) for learner in (rim.hrn.student, rim.hrn.assistant) for p in learner.projections.parameters()}
    assert covered | projections == {id(parameter) for parameter in rim.parameters()}
    assert len({id(module) for module in compiled}) == len(compiled)
    # The training step asks for single stages, so a backbone as a whole must not be compiled.
    assert rim.hrn.student.backbone not in compiled


@pytest.mark.slow
def test_no_part_is_left_out_because_others_are_compiled(monkeypatch):
    """Student and assistant read more channels than the teacher, so that fewer parts are alike."""
    import torch._dynamo.config as dynamo

    torch._dynamo.reset()
    monkeypatch.setattr(dynamo, "recompile_limit", 8)
    monkeypatch.setattr(dynamo, "fail_on_recompile_limit_hit", True)
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part: compile_module(part, backend="eager"))
    rim = RIM(**TWO_VIEWS)
    rim.compile_networks()
    with torch.no_grad():
        rim.eval().embed_probe(torch.rand(2, 3, 32, 32), torch.full((2,), 8))
        rim.embed_gallery(torch.rand(2, 3, 32, 32))
