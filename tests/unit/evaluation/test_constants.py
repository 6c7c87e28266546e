"""Constant answers against hand values and against the definition on faces."""

import numpy as np
import pytest
import torch

from rim_lightning.data.dataset import FaceDataset, UnionDataset
from rim_lightning.evaluation.constants import constant_figures, constant_priors, training_faces
from tests.helpers.stores import noise_store, small_synthetic_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=8, views=2, hr_size=32)


@pytest.fixture(scope="module")
def poor(tmp_path_factory):
    return noise_store(tmp_path_factory.mktemp("store") / "poor", ["a", "b"], [None] * 2, {"five": 5}, hr_size=32)


def test_constants_are_mean_points_and_most_frequent_classes(store, poor):
    train = FaceDataset(store, "train")
    constants = constant_priors([train, FaceDataset(poor, "train")], ("ibug68",))
    faces = [train[index] for index in range(len(train))]
    points = torch.stack([face.landmarks["ibug68"] for face in faces])
    torch.testing.assert_close(constants.points["ibug68"], points.mean(0))
    maps = np.stack([face.parsing.numpy() for face in faces])
    expected = np.array([[np.bincount(maps[:, row, column]).argmax() for column in range(32)] for row in range(32)])
    np.testing.assert_array_equal(constants.parsing.numpy(), expected)


def test_figures_are_those_of_the_definition(store):
    train, val = FaceDataset(store, "train"), FaceDataset(store, "val")
    constants = constant_priors([train], ("ibug68",))
    figures = constant_figures(constants, [val])
    faces = UnionDataset([val])
    errors, shared, either = [], np.zeros(11), np.zeros(11)
    for index in range(len(faces)):
        points, parsing = faces[index].landmarks["ibug68"], faces[index].parsing
        eyes = (points[36] - points[45]).norm()
        errors.append(100 * (points - constants.points["ibug68"]).norm(dim=1).mean() / eyes)
        for number in range(11):
            true, constant = parsing == number, constants.parsing == number
            shared[number] += (true & constant).sum()
            either[number] += (true | constant).sum()
    assert figures["nme/ibug68_constant"] == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)
    assert figures["miou_constant"] == pytest.approx(float((shared / either)[either > 0].mean()), rel=1e-5)


def test_faces_without_labels_have_no_figures(store, poor):
    constants = constant_priors([FaceDataset(store, "train")], ("ibug68",))
    assert constant_figures(constants, [FaceDataset(poor, "train")]) == {}
    nothing = constant_priors([FaceDataset(poor, "train")], ("ibug68",))
    assert (nothing.points, nothing.parsing) == ({}, None)
    assert constant_figures(nothing, [FaceDataset(store, "val")]) == {}


def test_constants_come_from_training_faces_if_there_are_some(store, tmp_path):
    assert training_faces(FaceDataset(store, "val"))[0].positions.tolist() == store.select("train").tolist()
    test_only = noise_store(tmp_path / "test", ["a"], [None], {"five": 5}, split="test", hr_size=32)
    faces = FaceDataset(test_only, "test")
    assert training_faces(faces) == (faces, False)
