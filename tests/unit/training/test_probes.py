import pytest
import torch

from rim_lightning.functional.degradation import sample_probe_sizes, synthesize_probe
from rim_lightning.functional.misalignment import moved
from rim_lightning.training import probes as training_probes
from rim_lightning.training.probes import ProbeSampling
from rim_lightning.types import UNLABELED, FaceBatch
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


def faces_with_a_dot(count, side, row, column):
    """Dark faces with a soft white dot, the point that marks it, and a class map that names it."""
    axis = torch.arange(side, dtype=torch.float32)
    dot = torch.exp(-((axis[:, None] - row) ** 2 + (axis - column) ** 2) / (2 * 3.0**2))
    parsing = torch.zeros(count, side, side, dtype=torch.uint8)
    parsing[:, row - 1 : row + 2, column - 1 : column + 2] = 5
    points = torch.tensor([[[column, row], [float("nan"), float("nan")]]], dtype=torch.float32).expand(count, -1, -1)
    hr = dot.expand(count, 3, -1, -1)
    return FaceBatch(hr, {"ibug68": points}, parsing, torch.arange(count), torch.arange(count))


def test_moved_targets_are_those_of_the_probes_with_labels_in_place():
    batch = faces_with_a_dot(16, 64, row=20, column=40)
    sampling = probes(misalignment={"shift": 0.1, "scale": 0.2, "rotation": 20}, targets="moved", aligned_share=0.2)
    targets = sampling.targets_of(batch, 3)
    rows = torch.arange(64, dtype=torch.float32)
    brightness = targets.hr[:, 0]
    mass = brightness.sum((1, 2))
    dot = torch.stack([(brightness.sum(1) * rows).sum(1) / mass, (brightness.sum(2) * rows).sum(1) / mass], 1)
    torch.testing.assert_close(targets.landmarks["ibug68"][:, 0], dot, rtol=0, atol=0.02)
    assert targets.landmarks["ibug68"][:, 1].isnan().all()
    x, y = targets.landmarks["ibug68"][:, 0].round().long().unbind(1)
    assert (targets.parsing[torch.arange(16), y, x] == 5).all()
    assert set(targets.parsing.unique().tolist()) == {0, 5, UNLABELED}, "nothing is known beyond the picture"
    stays = (targets.hr == batch.hr).flatten(1).all(1)
    assert 0 < stays.sum() < 16
    assert torch.equal(targets.parsing[stays], batch.parsing[stays])
    moves = sampling._sizes_and_moves(16, 3)[1]
    assert torch.equal(targets.hr, moved(batch.hr, moves)), "the probes are moved so"


def test_targets_are_the_batch_itself_unless_they_move_too():
    batch = faces_with_a_dot(2, 16, row=5, column=5)
    assert probes(misalignment=SHIFT).targets_of(batch, 0) is batch
    assert probes(targets="moved").targets_of(batch, 0) is batch
    both = [probes(misalignment=SHIFT, targets="moved").targets_of(batch, 0)]
    apart = [
        probes(misalignment=SHIFT, targets="moved").targets_of(
            type(batch)(
                batch.hr[rank::2], {"ibug68": batch.landmarks["ibug68"][rank::2]}, batch.parsing[rank::2], *batch[3:]
            ),
            0,
            rank,
            2,
        )
        for rank in (0, 1)
    ]
    for rank in (0, 1):
        torch.testing.assert_close(apart[rank].hr, both[0].hr[rank::2])
        torch.testing.assert_close(
            apart[rank].landmarks, {"ibug68": both[0].landmarks["ibug68"][rank::2]}, equal_nan=True
        )


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match='"aligned" or "moved", got "both"'):
        probes(targets="both")
    with pytest.raises(ValueError, match='no degradation "camra"'):
        probes(degradation="camra")
    with pytest.raises(ValueError, match='no misalignment "mtcnn"'):
        probes(misalignment="mtcnn")
    with pytest.raises(ValueError, match="share of aligned probes is 2"):
        probes(aligned_share=2)
    assert isinstance(probes(misalignment=SHIFT), ProbeSampling)
