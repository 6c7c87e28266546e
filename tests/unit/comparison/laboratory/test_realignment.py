"""Probes turned by a known angle come back, if the heatmaps show where the landmarks are."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from rim_lightning.comparison.laboratory.realignment import realigned
from rim_lightning.data.alignment import similarity_from_points, template, transform_points
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.functional.heatmaps import render_heatmaps
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.schemes import five_points
from rim_lightning.types import to_unit
from tests.helpers.stores import small_synthetic_store


def network_that_knows(points, scheme="ibug68"):
    """Stands for a RIM whose landmark heatmaps are perfect."""
    heatmaps, _ = render_heatmaps(torch.from_numpy(points).float()[None], 64, 16, 1.5)

    class Fhn:
        generator = SimpleNamespace(heatmap_heads={scheme: None})

        def __call__(self, enlarged, sizes):
            return SimpleNamespace(priors=Priors(heatmaps, {scheme: heatmaps}, heatmaps))

    return SimpleNamespace(fhn=Fhn())


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1.0, 0), (12, 1.0, 0), (-8, 1.1, 4)])
def test_a_moved_face_comes_back(tmp_path, degrees, scale, shift):
    """A smooth picture turned, scaled and moved: what the template says about its landmarks is undone."""
    store = small_synthetic_store(tmp_path / "synthetic", people=6, views=1, hr_size=64)
    face = FaceDataset(store, "train")[0]
    landmarks = face.landmarks["ibug68"].double().numpy()
    smooth = cv2.GaussianBlur(face.hr.permute(1, 2, 0).numpy(), (0, 0), 3)
    # First onto the template exactly, so that the way back is known.
    onto = similarity_from_points(five_points({"ibug68": landmarks}), template(64))
    smooth, landmarks = (
        cv2.warpAffine(smooth, onto, (64, 64), borderMode=cv2.BORDER_REPLICATE),
        transform_points(landmarks, onto),
    )
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), degrees, scale)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(smooth, matrix, (64, 64), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    probe = to_unit(torch.from_numpy(moved).permute(2, 0, 1)[None])
    result = realigned(network_that_knows(transform_points(landmarks, matrix)), probe)
    expected = to_unit(torch.from_numpy(smooth).permute(2, 0, 1)[None])
    inner = (..., slice(16, 48), slice(16, 48))
    assert (result - expected)[inner].abs().mean() < 0.02
    if degrees:
        assert (probe - expected)[inner].abs().mean() > 0.03


def test_a_network_of_other_landmarks_is_refused():
    with pytest.raises(ValueError, match="this network has landmarks of helen194"):
        realigned(network_that_knows(np.full((68, 2), 30.0), "helen194"), torch.zeros(1, 3, 64, 64))
