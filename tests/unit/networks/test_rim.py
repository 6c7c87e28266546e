"""Both embeddings of a probe in one forward pass."""

import pytest
import torch

from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import BACKBONE, MODEL, perturbed

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
    assert torch.equal(embeddings.student, rim.hrn.probe(sr, assistant=False))
    assert torch.equal(embeddings.rim, rim.embed_probe(enlarged))
    assert not torch.equal(embeddings.student, embeddings.rim)
    # The teacher on the hallucinated face sees the same whether that was resized before or not.
    assert torch.equal(rim.embed_gallery(embeddings.sr), rim.embed_gallery(rim.hrn.resized(sr)))
