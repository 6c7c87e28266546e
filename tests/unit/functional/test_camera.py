import math

import pytest
import torch

from rim_lightning.functional.camera import (
    AREA,
    BICUBIC,
    CODEC,
    JPEG,
    NEAREST,
    WHOLE,
    CameraDraws,
    camera_draws,
    camera_probe,
    draw_numbers,
    seeded_draws,
)
from rim_lightning.functional.compression import jpeg_like
from rim_lightning.functional.degradation import gaussian_blur, sample_probe_sizes, synthesize_probe
from rim_lightning.functional.resize import area_reduce, enlarge, reduce, round_to_8bit
from tests.helpers.pictures import levels
from tests.unit.functional.test_degradation import smooth_faces

SIZES = torch.tensor([7, 16, 9, 16])


def draws(**changes) -> CameraDraws:
    """No blur to speak of, no noise, no compression; bicubic."""
    plain = {
        "interpolation": torch.full((4,), BICUBIC),
        "degraded": torch.ones(4, dtype=torch.bool),
        "blur": torch.full((4, 2), 1e-4),
        "angle": torch.zeros(4),
        "noise": torch.zeros(4),
        "gray": torch.zeros(4, dtype=torch.bool),
        "compression": torch.full((4,), WHOLE),
        "quality": torch.full((4,), 100),
        "block": torch.full((4,), 8),
        "step": torch.full((4,), 6.0),
        "offset": torch.zeros(4, 2, dtype=torch.int64),
        "seed": torch.arange(4),
    }
    return CameraDraws(**(plain | changes))


def test_the_half_that_is_not_degraded_is_bicubic_or_area():
    hr, clean = smooth_faces(), torch.zeros(4, dtype=torch.bool)
    ours = camera_probe(hr, SIZES, draws(degraded=clean))
    assert (levels(ours) - levels(synthesize_probe(hr, SIZES))).abs().max() <= 1  # ties of rounding
    ours = camera_probe(hr, SIZES, draws(degraded=clean, interpolation=torch.full((4,), AREA)))
    assert (levels(ours) - levels(synthesize_probe(hr, SIZES, area_reduce))).abs().max() <= 2


def test_shares_and_ranges_of_the_draws():
    drawn = camera_draws(draw_numbers(20000, torch.Generator().manual_seed(0)))
    degraded = drawn.degraded
    assert degraded.double().mean().item() == pytest.approx(0.5, abs=0.01)
    clean = torch.bincount(drawn.interpolation[~degraded], minlength=4) / (~degraded).sum()
    assert clean.tolist() == pytest.approx([0.5, 0.5, 0, 0], abs=0.02)
    ways = torch.bincount(drawn.interpolation[degraded], minlength=4) / degraded.sum()
    assert ways.tolist() == pytest.approx([0.25] * 4, abs=0.02)
    kinds = torch.bincount(drawn.compression, minlength=3) / 20000
    assert kinds[[WHOLE, JPEG, CODEC]].tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    smooth = drawn.blur[drawn.interpolation != NEAREST]
    assert 0.1 <= smooth.min() <= smooth.max() <= 1.5
    assert smooth.log().mean().exp().item() == pytest.approx(math.sqrt(0.1 * 1.5), rel=0.02)  # log-uniform
    assert drawn.blur[drawn.interpolation == NEAREST].min() >= 0.4
    assert drawn.noise.mean().item() == pytest.approx(10, rel=0.03)
    assert 0 <= drawn.noise.min() <= drawn.noise.max() <= 20
    assert drawn.gray.double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (drawn.quality.min(), drawn.quality.max()) == (30, 90)
    assert 6 <= drawn.step.min() <= drawn.step.max() <= 40
    assert drawn.block.unique().tolist() == [8, 16]
    assert (drawn.offset < drawn.block[:, None]).all()
    assert drawn.offset.max() == 15
    assert len(drawn.seed.unique()) == 20000


def test_blur_and_jpeg_are_those_of_their_functions():
    hr, sizes = smooth_faces(), torch.full((4,), 16)
    blur, angle = torch.tensor([[1.2, 0.3]] * 4), torch.full((4,), 0.7)
    ours = camera_probe(hr, sizes, draws(blur=blur, angle=angle))
    blurred = round_to_8bit(reduce(gaussian_blur(hr, blur * 64 / 16, angle), 16, quantize=False))
    assert (levels(ours) - levels(enlarge(blurred, 64))).abs().max() <= 1
    quality = torch.tensor([30, 50, 70, 90])
    ours = camera_probe(hr, sizes, draws(compression=torch.full((4,), JPEG), quality=quality))
    expected = levels(enlarge(jpeg_like(reduce(hr, 16, quantize=False), quality), 64))
    assert (levels(ours) - expected).float().abs().mean() < 1


def test_noise_has_its_level_and_gray_noise_has_one_channel():
    hr, sizes = torch.zeros(4, 3, 64, 64), torch.full((4,), 64)
    gray = torch.tensor([True, False, True, False])
    noise = levels(camera_probe(hr, sizes, draws(noise=torch.tensor([5.0, 5.0, 20.0, 20.0]), gray=gray))).float()
    spread = noise.std((2, 3))  # a probe as large as the face is not enlarged
    assert spread.mean(1).tolist() == pytest.approx([5, 5, 20, 20], rel=0.05)
    assert torch.equal(noise[0, 0], noise[0, 1])
    assert not torch.equal(noise[1, 0], noise[1, 1])


def test_a_face_has_the_same_probe_alone_and_in_a_batch():
    hr = smooth_faces(16)
    sizes = sample_probe_sizes(16, 7, 32, 16, 0.5, torch.Generator().manual_seed(0))
    seeds = list(range(16))
    together = camera_probe(hr, sizes, seeded_draws(seeds))
    alone = [camera_probe(hr[n : n + 1], sizes[n : n + 1], seeded_draws(seeds[n : n + 1])) for n in (3, 8, 14)]
    assert (levels(together[[3, 8, 14]]) - levels(torch.cat(alone))).abs().max() <= 1
    assert not torch.equal(together[3:4], camera_probe(hr[3:4], sizes[3:4], seeded_draws([99])))


def test_half_precision_around_it_changes_nothing():
    hr, drawn = smooth_faces(), seeded_draws([1, 2, 3, 4])
    with torch.autocast("cpu", torch.bfloat16):
        ours = camera_probe(hr, SIZES, drawn)
    assert torch.equal(ours, camera_probe(hr, SIZES, drawn))


def test_wrong_faces_and_sizes_are_refused():
    with pytest.raises(ValueError, match="One probe size per square face"):
        camera_probe(smooth_faces(), SIZES[:3], draws())
    with pytest.raises(ValueError, match="7 to 65 px"):
        camera_probe(smooth_faces(), torch.tensor([7, 65, 8, 8]), draws())
