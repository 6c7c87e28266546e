import pytest
import torch

from rim_lightning.functional.degradation import sample_probe_sizes, synthesize_probe
from rim_lightning.functional.misalignment import moved
from rim_lightning.training import probes as training_probes
from rim_lightning.training.probes import ProbeSampling
from tests.helpers.tiny import probes
from tests.unit.functional.test_degradation import smooth_faces

SHIFT = {"shift": 0.1}


def test_bicubic_aligned_probes_are_those_of_the_sampled_sizes():
    hr = smooth_faces(6, 32)
    seed = training_probes._mixed(3, 17)
    sizes = sample_probe_sizes(6, 4, 12, 8, 0.5, torch.Generator().manual_seed(seed))
    assert torch.equal(probes(seed=3).probes(hr, 17).enlarged, synthesize_probe(hr, sizes))
    assert torch.equal(
        probes(seed=3, misalignment="detector", aligned_share=1.0).probes(hr, 17).enlarged, synthesize_probe(hr, sizes)
    )


@pytest.mark.parametrize("degradation", ["bicubic", "camera"])
@pytest.mark.parametrize("misalignment", ["detector", SHIFT])
def test_the_probes_of_two_ranks_are_those_of_one_process(degradation, misalignment):
    hr = smooth_faces(8, 32)
    sampling = probes(degradation=degradation, misalignment=misalignment)
    together = sampling.probes(hr, 5).enlarged
    apart = [sampling.probes(hr[rank::2], 5, rank, 2).enlarged for rank in (0, 1)]
    for rank in (0, 1):
        torch.testing.assert_close(apart[rank], together[rank::2], rtol=0, atol=1.01 / 127.5)  # ties of rounding
    assert not torch.equal(together, sampling.probes(hr, 6).enlarged)


def test_a_misaligned_probe_is_that_of_the_moved_face(monkeypatch):
    hr = smooth_faces(3, 32)
    before = hr.clone()
    moves = torch.tensor([[0.1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0.1, 0.2]], dtype=torch.float64)
    monkeypatch.setattr(training_probes, "draw_moves", lambda *_: moves)
    ours = probes(nominal_share=1.0, misalignment=SHIFT).probes(hr, 0).enlarged
    assert torch.equal(ours, synthesize_probe(moved(hr, moves), torch.full((3,), 8)))
    assert torch.equal(hr, before), "the sharp faces stay where they are"


def test_the_share_of_aligned_probes():
    hr = smooth_faces(1, 16).expand(400, -1, -1, -1)
    sampling = probes(nominal_share=1.0, misalignment={"shift": 0.2}, aligned_share=0.3)
    aligned = probes(nominal_share=1.0).probes(hr[:1], 0).enlarged
    same = (sampling.probes(hr, 0).enlarged == aligned).flatten(1).all(1)
    assert same.double().mean().item() == pytest.approx(0.3, abs=0.07)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match='no degradation "camra"'):
        probes(degradation="camra")
    with pytest.raises(ValueError, match='no misalignment "mtcnn"'):
        probes(misalignment="mtcnn")
    with pytest.raises(ValueError, match="share of aligned probes is 2"):
        probes(aligned_share=2)
    assert isinstance(probes(misalignment=SHIFT), ProbeSampling)
