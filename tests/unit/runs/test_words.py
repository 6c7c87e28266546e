"""Figures in words."""

import pytest

from rim_lightning.runs.words import in_words, phase_in_words, term_in_words


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("val/psnr_gain", "PSNR gain over bicubic (dB)"),
        ("sr/lfw/psnr_y", "PSNR of the hallucinated face, lfw (dB)"),
        ("sr/lfw/coarse/ssim_rgb", "SSIM of the coarse face, lfw"),
        ("sr/helen/psnr_gain_y", "PSNR gain over bicubic, helen (dB)"),
        ("sr/helen/nme/ibug68", "landmark error, % of the eye distance, helen, probe (ibug68)"),
        ("val/miou", "mean IoU of face parsing, probe"),
        ("val/rim/accuracy", "verification accuracy of RIM"),
        ("verification/lfw/hr/teacher/eer", "equal error rate of the teacher, lfw with sharp probes"),
        ("train/student/stage", "student: feature maps of the teacher"),
        ("something/of/a/user", "something/of/a/user"),
    ],
)
def test_known_keys_have_words_and_others_stay(key, words):
    assert in_words(key) == words


def test_terms_and_phases_of_users_lose_their_underscores():
    assert phase_in_words("my_phase") == "my phase"
    assert term_in_words("my_term") == "my term"
