import pytest
import torch

from rim_lightning.functional.camera import camera_probe, seeded_draws
from rim_lightning.functional.degradation import realistic_reduce, synthesize_probe
from rim_lightning.functional.misalignment import moved, seeded_moves
from rim_lightning.functional.resize import area_reduce, enlarge
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, seeded_probes
from tests.unit.functional.test_degradation import smooth_faces

SEEDS = [4, 5, 6, 7]
SIZES = torch.full((4,), 16)


def test_each_kind_is_that_of_its_function():
    hr = smooth_faces()
    assert torch.equal(seeded_probes(hr, 16, CLEAN, SEEDS), synthesize_probe(hr, SIZES))
    assert torch.equal(seeded_probes(hr, 16, ProbeKind("area"), SEEDS), synthesize_probe(hr, SIZES, area_reduce))
    realistic = [
        realistic_reduce(face, 16, torch.Generator().manual_seed(seed))
        for face, seed in zip(hr.split(1), SEEDS, strict=True)
    ]
    assert torch.equal(seeded_probes(hr, 16, ProbeKind("realistic"), SEEDS), enlarge(torch.cat(realistic), 64))
    assert torch.equal(seeded_probes(hr, 16, ProbeKind("camera"), SEEDS), camera_probe(hr, SIZES, seeded_draws(SEEDS)))
    assert seeded_draws(SEEDS).degraded.all()


def test_a_detector_moves_every_face_before_it_is_reduced():
    hr = smooth_faces()
    moves = seeded_moves(SIZES, "detector", SEEDS)
    for degradation in ("bicubic", "camera"):
        ours = seeded_probes(hr, 16, ProbeKind(degradation, "detector"), SEEDS)
        assert torch.equal(ours, seeded_probes(moved(hr, moves), 16, ProbeKind(degradation), SEEDS))
        assert (ours != seeded_probes(hr, 16, ProbeKind(degradation), SEEDS)).flatten(1).any(1).all()


def test_how_a_face_is_moved_says_nothing_about_how_it_is_degraded():
    seeds = range(400)
    draws = seeded_draws(seeds)
    moves = seeded_moves(torch.full((400,), 16), "detector", seeds)
    degradations = [draws.interpolation, *draws.blur.log().unbind(1), draws.angle, draws.noise, draws.quality]
    together = torch.stack([*moves.unbind(1), *(part.double() for part in degradations)])
    assert torch.corrcoef(together)[:4, 4:].abs().max() < 0.2  # 4 standard deviations


def test_unknown_kinds_and_missing_seeds_are_refused():
    for kind, sentence in (
        (ProbeKind("camra"), 'no degradation "camra"'),
        (ProbeKind("area", "x"), "choose null or detector"),
    ):
        with pytest.raises(ValueError, match=sentence):
            seeded_probes(smooth_faces(), 16, kind, SEEDS)
    with pytest.raises(ValueError, match="3 seeds for 4 faces"):
        seeded_probes(smooth_faces(), 16, CLEAN, SEEDS[:3])
