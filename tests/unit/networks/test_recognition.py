"""The recognition network: heads, projections, start from the teacher."""

import copy
from typing import get_args

import pytest
import torch

from rim_lightning.data.alignment import template
from rim_lightning.functional.heatmaps import component_maps, render_heatmaps
from rim_lightning.functional.misalignment import moved, moved_points
from rim_lightning.functional.realignment import moves_to_template
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.networks.recognition import AssistantSight, ProbeViews, RecognitionNetwork, StudentSight
from tests.helpers.tiny import BACKBONE, perturbed

RESNET = {"name": "resnet34", "width": 8, "blocks": (1, 1, 1, 1), "embedding_size": 16, "input_size": 32}


def faces():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def views():
    return ProbeViews(faces())


def test_started_from_the_teacher_student_and_sum_are_the_teacher():
    torch.manual_seed(0)
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE).eval()
    network.start_from_teacher()
    expected = network.gallery(faces())
    torch.testing.assert_close(network.probe(views(), assistant=False), expected)
    torch.testing.assert_close(network.probe(views()), expected)  # the assistant's maps start at zero


def test_probe_embedding_is_the_teachers_head_on_the_sum_of_maps():
    torch.manual_seed(0)
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, assistant_from_zero=False).eval()
    total = network.student.stages(faces())[-1] + network.assistant.stages(faces())[-1]
    torch.testing.assert_close(network.probe(views()), network.teacher.head(total))


def test_the_students_head_starts_as_the_teachers_and_learns():
    torch.manual_seed(0)
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="student", assistant_from_zero=False).eval()
    network.start_from_teacher()
    total = network.student.stages(faces())[-1] + network.assistant.stages(faces())[-1]
    torch.testing.assert_close(network.probe(views()), network.teacher.head(total))
    network.probe(views()).sum().backward()
    assert all(p.grad is not None for p in network.student.backbone.embed.parameters())
    assert not any("embed" in name for name, _ in network.assistant.named_parameters())
    with torch.no_grad():
        for p in network.student.backbone.embed.parameters():
            p.add_(0.1)
    assert not torch.allclose(network.probe(views()), network.teacher.head(total))
    narrow = BACKBONE | {"width": 4}
    with pytest.raises(ValueError, match="64 channels, its own have 32: set head to"):
        RecognitionNetwork(BACKBONE, narrow, BACKBONE, head="student")
    with pytest.raises(ValueError, match='teacher, student, own, flatten, got "other"'):
        RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="other")


def test_own_heads_are_summed_and_flatten_takes_the_maps():
    torch.manual_seed(0)
    own = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, head="own", assistant_from_zero=False).eval()
    expected = own.student.backbone(faces()) + own.assistant.backbone(faces())
    torch.testing.assert_close(own.probe(views()), expected)
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


SIGHTS = [(student, assistant) for student in get_args(StudentSight) for assistant in get_args(AssistantSight)]


def many_views():
    """Every view of three probes."""
    generator = torch.Generator().manual_seed(1)
    sr, enlarged = (2 * torch.rand(3, 3, 32, 32, generator=generator) - 1 for _ in range(2))
    heatmaps = {"ibug68": torch.rand(3, 68, 8, 8, generator=generator)}
    logits = torch.randn(3, 11, 8, 8, generator=generator)
    return ProbeViews(sr, enlarged, torch.tensor([4, 8, 12]), Priors(torch.zeros(3, 1, 8, 8), heatmaps, logits))


def seeing(student="sr", assistant="sr", **changes):
    torch.manual_seed(0)
    sights = {"student_sees": student, "assistant_sees": assistant, "schemes": ["ibug68"]}
    network = RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, **(sights | changes)).eval()
    network.start_from_teacher()
    return network


@pytest.mark.parametrize("size_input", [False, True])
@pytest.mark.parametrize(("student", "assistant"), SIGHTS)
def test_every_sight_starts_as_the_teacher_on_its_first_view_bit_for_bit(student, assistant, size_input):
    network, views = seeing(student, assistant, size_input=size_input, lr_size=8), many_views()
    first = views.sr if student == "sr" else views.enlarged
    assert torch.equal(network.probe(views), network.gallery(first))  # the assistant's maps start at zero
    assistants = network.assistant.backbone.stages(network.assistant_input(views))
    first = views.enlarged if assistant == "probe" else views.sr
    assert all(map(torch.equal, assistants, network.teacher.stages(first)))


@pytest.mark.parametrize(("student", "assistant"), SIGHTS)
def test_what_is_not_seen_has_no_influence_and_what_is_seen_has(student, assistant):
    network, views = perturbed(seeing(student, assistant, size_input=True, lr_size=8)), many_views()
    before = network.probe(views)
    changed = {
        "sr": views._replace(sr=-views.sr),
        "enlarged": views._replace(enlarged=-views.enlarged),
        "sizes": views._replace(sizes=2 * views.sizes),
        "priors": views._replace(priors=views.priors._replace(parsing_logits=-views.priors.parsing_logits)),
    }
    seen = {"sizes"} | {"sr": {"sr"}, "probe": {"enlarged"}, "both": {"sr", "enlarged"}}[student]
    seen |= {"sr": {"sr"}, "probe": {"enlarged"}, "sr_and_priors": {"sr", "priors"}}[assistant]
    assert {name for name, view in changed.items() if not torch.equal(network.probe(view), before)} == seen
    assert network.reads_sr() == ("sr" in seen)
    for name in seen:
        with pytest.raises(ValueError, match=r"missing|takes the size"):
            network.probe(views._replace(**{name: None}))


def test_the_assistant_reads_parts_of_the_face_and_classes_on_its_own_grid():
    network, views = seeing(assistant="sr_and_priors"), many_views()
    maps = network.assistant_input(views)[:, 3:]
    heatmaps = component_maps(views.priors.heatmaps)
    assert maps.shape == (3, 7 + 11, 32, 32)
    parts = torch.cat([heatmaps, views.priors.parsing_logits.softmax(1)], 1)
    torch.testing.assert_close(maps[..., 2::4, 2::4], upright(parts))  # 8 -> 32: the cells' centers lie between pixels
    torch.testing.assert_close(maps[:, 7:].sum(1), torch.ones(3, 32, 32))


def upright(parts):
    """Bilinear values an eighth of a cell to the right of and below each center, by hand; the border is repeated."""
    down = torch.cat([parts[..., 1:, :], parts[..., -1:, :]], 2)
    parts = 0.875 * parts + 0.125 * down
    right = torch.cat([parts[..., 1:], parts[..., -1:]], 3)
    return 0.875 * parts + 0.125 * right


def test_chosen_views_are_those_of_the_chosen_probes():
    network, views = perturbed(seeing("both", "sr_and_priors", size_input=True, lr_size=8)), many_views()
    chosen = torch.tensor([True, False, True])
    torch.testing.assert_close(network.probe(views.select(chosen)), network.probe(views)[chosen])
    assert ProbeViews(views.sr).select(chosen).enlarged is None


def test_what_is_seen_is_moved_to_the_template_by_the_landmarks_of_the_priors():
    """Heatmaps with one cell each, of a face that is turned; the size of the probe stays where it is."""
    network, views = seeing("both", "sr_and_priors", size_input=True, lr_size=8, realign=True), many_views()
    move = torch.tensor([[0.05, -0.04, 0.1, 0.2]], dtype=torch.float64)
    five = moved_points(torch.from_numpy(template(32))[None], move, 32)[0]
    points = torch.full((68, 2), 16.0)
    for index, position in zip([list(range(36, 42)), list(range(42, 48)), 30, 48, 54], five.float(), strict=True):
        points[index] = position
    heatmaps, _ = render_heatmaps(points[None], 32, 8, sigma=1.0)
    turned = views._replace(priors=views.priors._replace(heatmaps={"ibug68": heatmaps.expand(3, 68, 8, 8)}))
    expected_moves = moves_to_template(five[None].float() / 32 + 0.5 / 32 - 0.5).expand(3, 4)
    still = seeing("both", "sr_and_priors", size_input=True, lr_size=8)
    for learner in ("student", "assistant"):
        plain, seen = (getattr(one, f"{learner}_input")(turned) for one in (still, network))
        assert (seen[:, :3] - plain[:, :3]).abs().mean() > 0.1
        # Peaks are found to a tenth of a pixel.
        torch.testing.assert_close(seen[:, :-1], moved(plain[:, :-1], expected_moves), atol=0.05, rtol=0)
        assert torch.equal(seen[:, -1], plain[:, -1])


def test_realigning_needs_the_landmarks_of_the_hallucination_network():
    for changes in ({"student_sees": "probe", "schemes": ["ibug68"]}, {"student_sees": "sr"}):
        with pytest.raises(ValueError, match="realigned by landmarks of the hallucination network"):
            RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, realign=True, **changes)
    network, views = seeing(realign=True), many_views()
    with pytest.raises(ValueError, match="looks at priors of the probes, which is missing"):
        network.probe(views._replace(priors=None))


def test_unknown_sights_and_a_missing_nominal_size_are_refused():
    for name, value in (("student_sees", "sr_and_priors"), ("assistant_sees", "both")):
        with pytest.raises(ValueError, match=f'{name} must be one of .*, got "{value}"'):
            RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, **{name: value})
    with pytest.raises(ValueError, match="give lr_size"):
        RecognitionNetwork(BACKBONE, BACKBONE, BACKBONE, size_input=True)
