"""The three paths: their outputs, and cutting them into groups of faces."""

import torch

from rim_lightning.networks.hallucination.paths import Priors, TriPathGenerator

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
