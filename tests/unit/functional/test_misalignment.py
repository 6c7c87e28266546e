import math

import cv2
import numpy as np
import pytest
import torch

from rim_lightning.functional.misalignment import (
    DETECTOR_ERRORS,
    check_misalignment,
    detector_errors,
    draw_moves,
    moved,
    seeded_moves,
)
from tests.unit.functional.test_degradation import smooth_faces


def moves_of(**amounts):
    names = ("across", "down", "log_scale", "angle")
    return torch.tensor([[amounts.get(name, 0.0) for name in names]], dtype=torch.float64)


def test_a_shift_moves_a_dot_by_that_much():
    face = torch.zeros(1, 1, 32, 32)
    face[0, 0, 10, 20] = 1
    shifted = moved(face, moves_of(across=3 / 32, down=-2 / 32))
    assert shifted[0, 0, 8, 23].item() == pytest.approx(1, abs=1e-5)
    assert shifted.abs().sum().item() == pytest.approx(1, abs=1e-3)


def test_turn_scale_and_shift_are_those_of_a_warp_by_opencv():
    face = smooth_faces(1, 64)
    moves = moves_of(across=0.05, down=-0.03, log_scale=math.log(1.08), angle=math.radians(12))
    ours = moved(face, moves)[0].movedim(0, -1).numpy()
    scale, turn, middle = 1.08, math.radians(12), 31.5
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shift = np.array([middle + 0.05 * 64, middle - 0.03 * 64]) - linear @ [middle, middle]
    picture = np.ascontiguousarray(face[0].movedim(0, -1).numpy())
    matrix = np.column_stack([linear, shift])
    expected = cv2.warpAffine(picture, matrix, (64, 64), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(ours - expected)[4:-4, 4:-4].max() < 0.02


def test_a_face_that_does_not_move_stays_bit_for_bit():
    faces = smooth_faces(3)
    moves = torch.cat([moves_of(), moves_of(across=0.1), moves_of()])
    result = moved(faces, moves)
    assert torch.equal(result[[0, 2]], faces[[0, 2]])
    assert not torch.equal(result[1], faces[1])
    assert moved(faces, torch.zeros(3, 4)) is faces


def test_errors_of_the_detector_are_interpolated_over_the_logarithm_of_the_size():
    errors = detector_errors(torch.tensor([4, 10, 28, 112, 224]))
    table = torch.tensor(DETECTOR_ERRORS, dtype=torch.float64)
    expected = table[[0, 0, 4, 6, 6]]
    expected[:, 2] = expected[:, 2].deg2rad()
    torch.testing.assert_close(errors, expected)
    middle = detector_errors(torch.tensor([math.sqrt(20 * 28)]))
    torch.testing.assert_close(middle[0, :2], (table[3] + table[4])[:2] / 2)


def test_draws_have_the_spread_of_the_detector_and_a_share_stays():
    sizes = torch.full((20000,), 16)
    moves = draw_moves(sizes, "detector", 0.4, torch.Generator().manual_seed(0))
    stays = (moves == 0).all(1)
    assert stays.double().mean().item() == pytest.approx(0.4, abs=0.01)
    spread = moves[~stays].std(0) / detector_errors(sizes[:1])[0, [0, 0, 1, 2]]
    assert spread.tolist() == pytest.approx([0.955] * 4, abs=0.02)  # of a Gaussian cut off at 2.5 standard deviations
    assert moves[~stays].mean(0).abs().max() < 0.002
    assert (moves / detector_errors(sizes)[:, [0, 0, 1, 2]]).abs().max() <= 2.5


def test_fixed_amounts_are_uniform_up_to_the_largest():
    amounts = {"shift": 0.1, "scale": 0.2, "rotation": 15.0}
    moves = draw_moves(torch.full((20000,), 8), amounts, 0.0, torch.Generator().manual_seed(0))
    factors = moves[:, 2].exp()
    assert (factors.min().item(), factors.max().item()) == pytest.approx((0.8, 1.2), abs=1e-3)
    assert moves[:, 3].abs().max().item() == pytest.approx(math.radians(15), rel=1e-3)
    assert moves[:, :2].std(0).tolist() == pytest.approx([0.1 / math.sqrt(3)] * 2, rel=0.02)
    only_shift = draw_moves(torch.full((5,), 8), {"shift": 0.1}, 0.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(only_shift[:, :2], moves[:5, :2] * 0 + only_shift[:, :2])
    assert (only_shift[:, 2:] == 0).all()


def test_a_seed_decides_the_move_of_its_face_alone():
    sizes = torch.tensor([8, 16, 28])
    moves = seeded_moves(sizes, "detector", [5, 6, 7])
    torch.testing.assert_close(moves[1:2], seeded_moves(sizes[1:2], "detector", [6]))
    assert (moves != 0).all()


def test_unknown_misalignments_are_refused():
    for wrong, sentence in (
        ("detectr", 'no misalignment "detectr"'),
        ({"move": 0.1}, "no move"),
        ({"shift": 1.5}, "shift of a misalignment is 1.5"),
    ):
        with pytest.raises(ValueError, match=sentence):
            check_misalignment(wrong)
    for right in (None, "detector", {"shift": 0.1, "rotation": 15}):
        check_misalignment(right)
