"""The three paths: their outputs, and cutting them into groups of faces."""

import pytest
import torch

from rim_lightning.functional.heatmaps import decode_heatmaps, expected_points
from rim_lightning.networks.hallucination.paths import FacePath, Priors, TriPathGenerator

SIZES = {"global_width": 6, "prior_width": 4, "blocks": 1, "prior_blocks": 1, "hourglass": 1}


def faces():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_each_head_reads_its_path_and_the_features_are_all_paths():
    torch.manual_seed(0)
    network = TriPathGenerator({"five": 5, "two": 2}, **SIZES)
    priors = network(faces())
    global_features, landmarks, parsing = (
        path(faces()) for path in (network.global_path, network.landmark_path, network.parsing_path)
    )
    assert network.channels == 6 + 4 + 4
    torch.testing.assert_close(priors.features, torch.cat([global_features, landmarks, parsing], dim=1))
    assert list(priors.heatmaps) == ["five", "two"]
    for scheme, points in (("five", 5), ("two", 2)):
        assert priors.heatmaps[scheme].shape == (3, points, 4, 4)
        torch.testing.assert_close(priors.heatmaps[scheme], network.heatmap_heads[scheme](landmarks))
    assert priors.parsing_logits.shape == (3, 11, 4, 4)
    torch.testing.assert_close(priors.parsing_logits, network.parsing_head(parsing))


def test_a_shared_trunk_feeds_both_heads():
    torch.manual_seed(0)
    network = TriPathGenerator({"five": 5}, **SIZES, shared_prior_trunk=True)
    priors = network(faces())
    trunk = network.landmark_path(faces())
    assert network.parsing_path is None
    assert network.channels == 6 + 4
    torch.testing.assert_close(priors.features, torch.cat([network.global_path(faces()), trunk], dim=1))
    torch.testing.assert_close(priors.heatmaps["five"], network.heatmap_heads["five"](trunk))
    torch.testing.assert_close(priors.parsing_logits, network.parsing_head(trunk))


def test_priors_start_near_zero():
    torch.manual_seed(0)
    priors = TriPathGenerator({"five": 5}, **SIZES)(faces())
    for maps in (priors.heatmaps["five"], priors.parsing_logits):
        assert 0 < maps.abs().max() < 0.1 * priors.features.abs().max()


def test_split_cuts_every_output_at_the_same_faces():
    features, heatmaps, parsing = torch.rand(5, 2, 4, 4), torch.rand(5, 3, 4, 4), torch.rand(5, 11, 4, 4)
    first, second = Priors(features, {"three": heatmaps}, parsing).split([2, 3])
    for part, rows in ((first, slice(0, 2)), (second, slice(2, 5))):
        assert torch.equal(part.features, features[rows])
        assert torch.equal(part.heatmaps["three"], heatmaps[rows])
        assert torch.equal(part.parsing_logits, parsing[rows])


def test_a_linear_head_makes_no_more_independent_maps_than_its_path_has_channels():
    """With a hidden layer every point can have a map of its own."""
    torch.manual_seed(0)
    face = torch.rand(1, 3, 64, 64) * 2 - 1
    ranks = {}
    for width in (None, 9):
        network = TriPathGenerator({"nine": 9}, **SIZES, head_width=width).double()
        maps = network(face.double()).heatmaps["nine"].flatten(2)[0]  # (9, 256)
        ranks[width] = int(torch.linalg.matrix_rank(maps - maps.mean(1, keepdim=True)))
    assert ranks == {None: 4, 9: 9}
    with pytest.raises(ValueError, match="cannot make 9 heatmaps that differ: set head_width"):
        TriPathGenerator({"five": 5, "nine": 9}, **SIZES, head_width=8)


def test_a_folding_stem_is_centered_and_the_strided_convolution_is_not():
    """The pixels that cell 4 reads lie around the middle of its own pixels, 16 to 19."""
    torch.manual_seed(0)
    for stem, middle in (("fold", 17.5), ("conv7", 16.0)):
        path = FacePath(2, 4, 0, 1, 0, "none", stem)
        face = torch.zeros(1, 3, 32, 32, requires_grad=True)
        path.stem[:-2](face)[0, 0, 4, 4].backward()  # without norm and activation
        rows = face.grad.abs().sum((0, 1, 3)).nonzero().flatten().double()
        assert (rows.min() + rows.max()) / 2 == middle
    with pytest.raises(ValueError, match='"conv7" or "fold"'):
        FacePath(2, 4, 0, 1, 0, "none", "other")


def test_landmarks_are_read_as_the_heatmaps_say():
    maps = {"five": torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))}
    gaussian, logits = (Priors(torch.zeros(2, 1), maps, torch.zeros(2, 1), kind) for kind in ("gaussian", "logits"))
    assert torch.equal(gaussian.points(32)["five"], decode_heatmaps(maps["five"], 32))
    assert torch.equal(logits.points(32)["five"], expected_points(maps["five"], 32))
    assert gaussian.evidence() is maps
    evidence = logits.evidence()["five"]
    torch.testing.assert_close(evidence, (maps["five"] - maps["five"].amax((2, 3), keepdim=True)).exp())
    assert logits.split([1, 1])[1].kind == "logits"
    for priors in (gaussian, logits):
        points, maps_to_show = priors.points_and_evidence(32)
        assert torch.equal(points["five"], priors.points(32)["five"])
        assert torch.equal(maps_to_show["five"], priors.evidence()["five"])
