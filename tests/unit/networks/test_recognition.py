"""The recognition network: heads, projections, start from the teacher."""

import copy

import pytest
import torch

from rim_lightning.networks.recognition import RecognitionNetwork
from tests.helpers.tiny import BACKBONE

RESNET = {"name": "resnet34", "width": 8, "blocks": (1, 1, 1, 1), "embedding_size": 16, "input_size": 32}


def faces():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_started_from_the_teacher_student_and_sum_are_the_teacher():
    torch.manual_seed(0)
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE).eval()
    network.start_from_teacher()
    expected = network.gallery(faces())
    torch.testing.assert_close(network.probe(faces(), assistant=False), expected)
    torch.testing.assert_close(network.probe(faces()), expected)  # the assistant's maps start at zero


def test_probe_embedding_is_the_teachers_head_on_the_sum_of_maps():
    torch.manual_seed(0)
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, assistant_from_zero=False).eval()
    total = network.student.stages(faces())[-1] + network.assistant.stages(faces())[-1]
    torch.testing.assert_close(network.probe(faces()), network.teacher.head(total))


def test_the_students_head_starts_as_the_teachers_and_learns():
    torch.manual_seed(0)
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="student", assistant_from_zero=False).eval()
    network.start_from_teacher()
    total = network.student.stages(faces())[-1] + network.assistant.stages(faces())[-1]
    torch.testing.assert_close(network.probe(faces()), network.teacher.head(total))
    network.probe(faces()).sum().backward()
    assert all(p.grad is not None for p in network.student.backbone.embed.parameters())
    assert not any("embed" in name for name, _ in network.assistant.named_parameters())
    with torch.no_grad():
        for p in network.student.backbone.embed.parameters():
            p.add_(0.1)
    assert not torch.allclose(network.probe(faces()), network.teacher.head(total))
    narrow = BACKBONE | {"width": 4}
    with pytest.raises(ValueError, match="64 channels, its own have 32: set head to"):
        RecognitionNetwork(BACKBONE, narrow, BACKBONE, head="student")
    with pytest.raises(ValueError, match='teacher, student, own, flatten, got "other"'):
        RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="other")


def test_own_heads_are_summed_and_flatten_takes_the_maps():
    torch.manual_seed(0)
    own = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="own", assistant_from_zero=False).eval()
    expected = own.student.backbone(faces()) + own.assistant.backbone(faces())
    torch.testing.assert_close(own.probe(faces()), expected)
    flat = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="flatten").eval()
    torch.testing.assert_close(flat.gallery(faces()), flat.teacher.stages(faces())[-1].flatten(1))


def test_projections_are_on_the_learners_only_and_bring_the_teachers_channels():
    network = RecognitionNetwork(BACKBONE, RESNET, RESNET)
    teacher = network.teacher.stages(faces())
    student = network.student.stages(faces())
    assert [m.shape for m in student] == [m.shape for m in teacher]
    # Its own channels are 8, 16, 32, 64, the teacher's 8, 8, 16, 64: the second and third stage differ.
    projected = [isinstance(projection, torch.nn.Conv2d) for projection in network.student.projections]
    assert projected == [False, True, True, False]
    assert not any("projection" in name for name, _ in network.teacher.named_modules())


def test_other_shapes_are_refused_in_one_sentence():
    larger = copy.deepcopy(RESNET) | {"input_size": 64}
    with pytest.raises(ValueError, match="choose networks of equal sizes"):
        RecognitionNetwork(BACKBONE, larger, RESNET)
    with pytest.raises(ValueError, match="student has a different shape from the teacher"):
        RecognitionNetwork(BACKBONE, RESNET, RESNET).start_from_teacher()


def test_gradient_reaches_the_face_through_the_frozen_teacher():
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE)
    face = faces().requires_grad_()
    network.gallery(face).sum().backward()
    assert face.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.teacher.parameters())
