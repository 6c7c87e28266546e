"""What a system reads: the parts of a network, and networks that lack a part."""

import pytest
import torch

from rim_lightning.comparison.laboratory.readings import Side, as_hallucinator, as_recognizer, embed_part
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.guided import build_guided_recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import BACKBONE, MODEL, batch, perturbed


def test_parts_of_rim_come_from_one_pass():
    torch.manual_seed(0)
    rim, faces = perturbed(RIM(**MODEL)).eval(), batch().hr
    with torch.no_grad():
        parts = embed_part(rim, "probe", None, Side(8), faces)
        assert torch.equal(parts["probe"], rim.embed_probe(faces))
        assert torch.equal(parts["student"], rim.embed_by_student(faces))
        assert torch.equal(parts["sr"], rim.embed_gallery(rim.fhn(faces).sr))
        for part in ("student", "sr"):
            same = embed_part(rim, part, None, Side(8), faces)
            assert same.keys() == parts.keys()
            assert all(torch.equal(same[name], parts[name]) for name in parts)
        assert torch.equal(embed_part(rim, "gallery", None, Side(None), faces)["gallery"], rim.embed_gallery(faces))


def test_a_part_that_a_network_lacks_is_named():
    recognizer = build_guided_recognizer(BACKBONE).eval()
    with pytest.raises(ValueError, match="GuidedRecognizer has no part student"):
        embed_part(recognizer, "student", None, Side(8), batch().hr)
    with pytest.raises(ValueError, match="GuidedRecognizer hallucinates no faces"):
        embed_part(recognizer, "sr", None, Side(8), batch().hr)
    with pytest.raises(ValueError, match="SRCNN embeds no faces"):
        as_recognizer(build_super_resolver("srcnn"))
    assert as_hallucinator(RIM(**MODEL)).hr_size == 32
