import copy
from typing import get_args

import pytest
import torch

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.relational import RelationalLoss
from rim_lightning.networks.recognition import Head, ProbeViews
from rim_lightning.networks.rim import RIM
from rim_lightning.training.objective import Objective
from rim_lightning.training.phases import (
    PHASE_TERMS,
    PHASES,
    STAGE_PHASES,
    all_terms,
    assistant_terms,
    domain_terms,
    hallucination_terms,
    prepare_step,
    student_terms,
)
from rim_lightning.training.probes import Probes
from tests.helpers.tiny import ALL_WEIGHTS, BACKBONE, MODEL, WEIGHTS, batch, objective, perturbed


class Parts(torch.nn.Module):
    def __init__(self, model=MODEL, **changes):
        super().__init__()
        torch.manual_seed(0)
        # In eval mode spectral norm keeps its estimate; in training every forward pass of the discriminator refines it.
        self.rim = perturbed(RIM(**model)).double().eval()
        self.objective = objective(**changes).double()


def with_recognition(**changes):
    return MODEL | {"recognition": MODEL["recognition"] | changes}


def step_of(parts, stage, faces=None, together=False):
    faces = batch(dtype=torch.float64) if faces is None else faces
    sizes = torch.full((len(faces.hr),), 8)
    probes = Probes(synthesize_probe(faces.hr, sizes).double(), sizes)
    return prepare_step(parts.rim, parts.objective, faces, probes, stage, together)


def owned(parts, phase):
    return {
        f"{name}.{inner}": parameter
        for name in phase.modules
        for inner, parameter in parts.get_submodule(name).named_parameters()
        if parameter.requires_grad
    }


def gradients(parameters):
    return {name: None if p.grad is None else p.grad.clone() for name, p in parameters.items()}


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("stage", STAGE_PHASES)
def test_one_backward_has_the_gradients_of_the_phases_one_by_one(stage, head):
    """`sequential` at unmoved parameters against `simultaneous`, every parameter of every phase, fp64."""
    parts = Parts(with_recognition(head=head), weights=ALL_WEIGHTS)
    size = parts.rim.hrn.embedding_size
    parts.objective.embeddings.contrastive.fill(torch.randn(9, size, dtype=torch.float64), torch.arange(9) // 2)
    check_one_backward(parts, stage)


def check_one_backward(parts, stage):
    active = [phase for phase in PHASES if phase.name in STAGE_PHASES[stage]]
    one_by_one = {}
    step = step_of(parts, stage)
    for phase in active:
        parameters = owned(parts, phase)
        everything = [p for p in parts.parameters() if p.requires_grad]
        for p in everything:
            p.requires_grad_(False)
        for p in parameters.values():
            p.requires_grad_(True)
        terms = PHASE_TERMS[phase.name](parts.rim, parts.objective, step)
        parts.zero_grad()
        terms["loss"].backward(retain_graph=True)
        one_by_one[phase.name] = gradients(parameters)
        for p in everything:
            p.requires_grad_(True)
    parts.zero_grad()
    terms = all_terms(parts.rim, parts.objective, step_of(parts, stage, together=True))
    torch.stack([value["loss"] for value in terms.values()]).sum().backward()
    for phase in set(PHASES) - set(active):
        assert not any(value.abs().any() for value in gradients(owned(parts, phase)).values() if value is not None)
    for phase in active:
        together = gradients(owned(parts, phase))
        for name, expected in one_by_one[phase.name].items():
            if expected is None:
                assert together[name] is None, name
            else:
                assert expected.abs().sum() > 0, f"{phase.name} {name} has no gradient: the comparison would be empty"
                torch.testing.assert_close(together[name], expected, rtol=1e-9, atol=1e-13, msg=name)


@pytest.mark.parametrize(("student", "assistant"), [("both", "sr_and_priors"), ("probe", "sr_and_priors")])
@pytest.mark.parametrize("stage", ["hrn", "joint"])
def test_two_views_have_the_gradients_of_the_phases_one_by_one(stage, student, assistant):
    parts = Parts(with_recognition(student_sees=student, assistant_sees=assistant, size_input=True))
    check_one_backward(parts, stage)


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("stage", ["hrn", "joint", "assistant"])
def test_the_loss_of_the_sum_moves_the_student_where_the_objective_says_so(stage, head):
    """Against autograd of the sum's terms by hand, fp64; the student's residual stays a target."""
    parts = Parts(with_recognition(head=head), weights=WEIGHTS, sum_moves="both")
    hrn, step = parts.rim.hrn, step_of(parts, stage, together=True)
    students = [p for p in hrn.student.parameters() if p.requires_grad]
    loss = assistant_terms(parts.rim, parts.objective, step)["loss"]
    if stage == "assistant":
        assert not any(g is not None for g in torch.autograd.grad(loss, students, allow_unused=True))
        return
    found = torch.autograd.grad(loss, students, allow_unused=True, retain_graph=True)
    views = step.views()
    total = hrn.probe(views)
    terms = parts.objective.embeddings(total, step.teacher.embedding, step.batch.index, WEIGHTS["assistant"])
    by_hand = sum(WEIGHTS["assistant"][name] * value for name, value in terms.items())
    expected = torch.autograd.grad(by_hand, students, allow_unused=True)
    for got, value in zip(found, expected, strict=True):
        assert (got is None) == (value is None)
        if value is not None:
            torch.testing.assert_close(got, value, rtol=1e-9, atol=1e-13)
    assert any(value is not None and value.any() for value in found)
    alone = Parts(with_recognition(head=head), weights=WEIGHTS)
    loss = assistant_terms(alone.rim, alone.objective, step_of(alone, stage, together=True))["loss"]
    weights = [p for p in alone.rim.hrn.student.parameters() if p.requires_grad]
    assert not any(g is not None for g in torch.autograd.grad(loss, weights, allow_unused=True))


def test_a_stage_that_reads_no_hallucinated_face_makes_none():
    parts = Parts(with_recognition(student_sees="probe", assistant_sees="sr"))
    step = step_of(parts, "student")
    assert step.hallucination is None
    faces = parts.rim.hrn.resized(step.probes.enlarged)
    expected = parts.rim.hrn.student.stages(faces)[3]
    torch.testing.assert_close(step.student.maps[3], expected)
    student_terms(parts.rim, parts.objective, step)["loss"].backward()
    assert step_of(parts, "assistant").hallucination is not None
    assert step_of(parts, "joint").hallucination is not None


def test_simultaneous_agrees_with_hand_weighted_sum_without_reversal():
    """Oracle apart from the phase functions: autograd of w·L_domain alone for θ_G, of −L_domain for θ_d."""
    parts = Parts()
    step = step_of(parts, "fhn", together=True)
    coarse, hr = step.output.priors.features, step.output.hr_priors.features
    domain = parts.objective.domain(parts.rim.discriminator(coarse), parts.rim.discriminator(hr))
    stem = parts.rim.fhn.generator.global_path.stem[0].weight
    first = next(p for p in parts.rim.discriminator.parameters())
    plain = torch.autograd.grad(domain, [stem, first], retain_graph=True)
    reversed_ = torch.autograd.grad(domain_terms(parts.rim, parts.objective, step)["loss"], [stem, first])
    torch.testing.assert_close(reversed_[0], WEIGHTS["hallucination"]["domain"] * plain[0], rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(reversed_[1], -plain[1], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("stage", ["hrn", "joint"])
@pytest.mark.parametrize("together", [True, False])
def test_statistics_see_the_students_own_maps_once_a_step(stage, together):
    """Neither the assistant's embedding, read by the student's head, nor the hallucination network's term counts."""
    backbone = BACKBONE | {"normalization": "batch"}
    changes = {"student": backbone, "assistant": backbone, "head": "student"}
    parts = Parts(with_recognition(**changes), weights=WEIGHTS)
    parts.rim.hrn.train()
    step = step_of(parts, stage, batch(dtype=torch.float64), together)
    if together:
        all_terms(parts.rim, parts.objective, step)
    else:
        for phase in PHASES[1:]:
            if phase.name in STAGE_PHASES[stage]:
                PHASE_TERMS[phase.name](parts.rim, parts.objective, step)
    norms = [module for module in parts.rim.hrn.student.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    teacher = [module for module in parts.rim.hrn.teacher.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not any(norm.num_batches_tracked for norm in teacher)


@pytest.mark.parametrize(
    ("stage", "phase", "terms"),
    [
        ("coarse", "hallucination", ("coarse",)),
        ("fhn", "hallucination", ("pixel", "coarse", "landmark", "parsing", "rebuild")),
    ],
)
def test_a_stage_without_a_weighted_term_is_refused(stage, phase, terms):
    parts = Parts(weights=WEIGHTS | {phase: WEIGHTS[phase] | dict.fromkeys((*terms, "student"), 0.0)})
    with pytest.raises(ValueError, match=f"the phase {phase} has in this training stage has weight 0"):
        hallucination_terms(parts.rim, parts.objective, step_of(parts, stage, together=True))


def test_max_step_raises_the_mmd_on_a_fixed_batch():
    parts = Parts()
    step = step_of(parts, "fhn", batch(16, dtype=torch.float64))
    optimizer = torch.optim.Adam(parts.rim.discriminator.parameters(), lr=1e-3)
    values = []
    for _ in range(30):
        terms = domain_terms(parts.rim, parts.objective, step)
        values.append(terms["domain"].item())
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    assert values[-1] > values[0] + 0.01, values
    assert all(p.grad is None for p in parts.rim.fhn.parameters())


def test_loss_is_the_weighted_sum_of_the_terms():
    parts = Parts()
    terms = hallucination_terms(parts.rim, parts.objective, step_of(parts, "joint"))
    assert set(terms) == {*WEIGHTS["hallucination"], "loss"}
    expected = sum(WEIGHTS["hallucination"][name] * terms[name] for name in WEIGHTS["hallucination"])
    torch.testing.assert_close(terms["loss"], expected)


def test_identity_terms_belong_to_the_joint_stage():
    parts = Parts()
    terms = hallucination_terms(parts.rim, parts.objective, step_of(parts, "fhn"))
    assert not {"identity", "student"} & set(terms)


def test_pixel_only_keeps_the_paths_from_the_coarse_net():
    model = copy.deepcopy(MODEL)
    model["hallucination"]["coarse_gradient"] = "pixel_only"
    parts = Parts(model)
    terms = hallucination_terms(parts.rim, parts.objective, step_of(parts, "fhn"))
    weight = parts.rim.fhn.coarse.pyramid.to_rgb.weight
    whole = torch.autograd.grad(terms["loss"], weight, retain_graph=True)[0]
    own = torch.autograd.grad(WEIGHTS["hallucination"]["coarse"] * terms["coarse"], weight)[0]
    torch.testing.assert_close(whole, own)


def test_prior_pixel_gradient_scales_the_prior_paths_only():
    gradient = {}
    for scale in (1.0, 0.1):
        model = copy.deepcopy(MODEL)
        model["hallucination"]["prior_pixel_gradient"] = scale
        parts = Parts(model)
        terms = hallucination_terms(parts.rim, parts.objective, step_of(parts, "fhn"))
        paths = parts.rim.fhn.generator
        weights = [paths.global_path.stem[0].weight, paths.landmark_path.stem[0].weight]
        gradient[scale] = torch.autograd.grad(terms["pixel"], weights)
    torch.testing.assert_close(gradient[0.1][0], gradient[1.0][0])
    torch.testing.assert_close(gradient[0.1][1], 0.1 * gradient[1.0][1])


def test_student_regresses_the_teacher_and_the_assistant_the_rest():
    """Eq 11 and 12 recomputed by hand from the stage maps."""
    parts = Parts()
    step = step_of(parts, "hrn")
    student = student_terms(parts.rim, parts.objective, step)
    assistant = assistant_terms(parts.rim, parts.objective, step)
    with torch.no_grad():
        faces = step.output.sr
        f_t, f_s = step.teacher.maps, parts.rim.hrn.student.stages(faces)
        f_a = parts.rim.hrn.assistant.stages(faces)
        eq11 = ((f_t[3] - f_s[3]) ** 2).mean() / (f_t[3] ** 2).mean()
        eq12 = sum(((t - s - a) ** 2).mean() / (t**2).mean() for t, s, a in zip(f_t, f_s, f_a, strict=True)) / 4
    torch.testing.assert_close(student["stage"], eq11)
    torch.testing.assert_close(assistant["residual"], eq12)


def test_contrastive_and_relational_terms_are_those_of_the_student_and_of_the_sum():
    """Recomputed from the embeddings; the last stage alone weighs in Eq 12."""
    parts = Parts(weights=ALL_WEIGHTS, assistant_stage_weights=(0, 0, 0, 2))
    step = step_of(parts, "hrn")
    bank = ContrastiveLoss(16.0)
    bank.fill(torch.randn(9, 16, dtype=torch.float64), torch.arange(9) // 2)
    parts.objective.embeddings.contrastive = bank
    sums = {
        "student": parts.rim.hrn.probe(ProbeViews(step.output.sr), assistant=False),
        "assistant": parts.rim.hrn.probe(ProbeViews(step.output.sr)),
    }
    for phase, embedding in sums.items():
        terms = PHASE_TERMS[phase](parts.rim, parts.objective, step)
        torch.testing.assert_close(terms["contrastive"], bank(embedding, step.batch.index))
        torch.testing.assert_close(terms["relational"], RelationalLoss()(embedding, step.teacher.embedding))
        expected = sum(weight * terms[name] for name, weight in ALL_WEIGHTS[phase].items())
        torch.testing.assert_close(terms["loss"], expected)
    faces = step.output.sr
    rest = step.teacher.maps[3] - parts.rim.hrn.student.stages(faces)[3] - parts.rim.hrn.assistant.stages(faces)[3]
    eq12 = rest.square().mean() / step.teacher.maps[3].square().mean()
    torch.testing.assert_close(assistant_terms(parts.rim, parts.objective, step)["residual"], eq12)


@pytest.mark.parametrize("given", [(1, 1, 1), (0, 0, 0, 0), (1, 1, 1, -1)])
def test_weights_of_the_assistants_stages_are_four_and_not_all_zero(given):
    with pytest.raises(ValueError, match="for each of the four stages, one of them above 0"):
        objective(assistant_stage_weights=given)


def test_weights_must_be_complete():
    with pytest.raises(ValueError, match="student"):
        objective(weights=WEIGHTS | {"student": {"stage": 1.0}})
    assert set(Objective.TERMS) == set(WEIGHTS)


def test_stage_coarse_moves_the_coarse_net_alone_by_its_pixel_loss():
    parts = Parts()
    step = step_of(parts, "coarse", together=True)
    (terms,) = all_terms(parts.rim, parts.objective, step).values()
    wanted = WEIGHTS["hallucination"]["coarse"] * (step.output.coarse - step.batch.hr).square().mean()
    torch.testing.assert_close(terms["loss"], wanted)
    terms["loss"].backward()
    moved = {name for name, weight in parts.rim.named_parameters() if weight.grad is not None}
    assert moved == {f"fhn.coarse.{name}" for name, _ in parts.rim.fhn.coarse.named_parameters()}


def test_the_assistant_learns_alone_what_the_student_lacks():
    """In its own stage the residual target is the same as beside the student."""
    parts = Parts()
    alone = all_terms(parts.rim, parts.objective, step_of(parts, "assistant", together=True))
    beside = all_terms(parts.rim, parts.objective, step_of(parts, "hrn", together=True))
    assert set(alone) == {"assistant"}
    assert set(beside) == {"student", "assistant"}
    for name, value in alone["assistant"].items():
        torch.testing.assert_close(value, beside["assistant"][name])


def test_the_students_loss_reaches_the_hallucination_network_by_its_weight():
    """What the term adds to the gradient is the weight times that of the student's loss."""
    gradient = {}
    for weight in (0.0, 0.3):
        parts = Parts(weights=WEIGHTS | {"hallucination": WEIGHTS["hallucination"] | {"student": weight}})
        step = step_of(parts, "joint", together=True)
        terms = all_terms(parts.rim, parts.objective, step)
        layer = parts.rim.fhn.coarse.pyramid.to_rgb.weight
        total = terms["hallucination"]["loss"] + terms["student"]["loss"]
        gradient[weight] = torch.autograd.grad(total, layer, retain_graph=True)[0]
    embedding = parts.rim.hrn.probe(ProbeViews(step.output.sr), assistant=False)
    maps = parts.rim.hrn.student.stages(parts.rim.hrn.resized(step.output.sr))
    loss = (
        WEIGHTS["student"]["stage"]
        * (maps[3] - step.teacher.maps[3]).square().mean()
        / step.teacher.maps[3].square().mean()
    )
    cosine = torch.nn.functional.cosine_similarity(embedding, step.teacher.embedding)
    loss = loss + WEIGHTS["student"]["embedding"] * (1 - cosine).mean()
    expected = 0.3 * torch.autograd.grad(loss, layer)[0]
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient[0.3] - gradient[0.0], expected, rtol=1e-6, atol=1e-12)


def test_hallucinated_faces_are_compared_with_the_targets_and_the_teacher_sees_the_batch():
    parts = Parts(identity_from="fhn")
    faces, targets = batch(dtype=torch.float64), batch(seed=1, dtype=torch.float64)
    sizes = torch.full((len(faces.hr),), 8)
    probes = Probes(synthesize_probe(targets.hr, sizes).double(), sizes)
    step = prepare_step(parts.rim, parts.objective, faces, probes, "fhn", targets=targets)
    terms = hallucination_terms(parts.rim, parts.objective, step)
    alike = prepare_step(parts.rim, parts.objective, targets, probes, "fhn")
    expected = hallucination_terms(parts.rim, parts.objective, alike)
    for term in ("pixel", "coarse", "landmark", "parsing", "domain"):
        torch.testing.assert_close(terms[term], expected[term])
    embedding = parts.rim.embed_gallery(step.output.sr)
    teacher = parts.rim.embed_gallery(faces.hr)
    torch.testing.assert_close(terms["identity"], (1 - torch.cosine_similarity(embedding, teacher)).mean())


@pytest.mark.parametrize("together", [False, True])
def test_the_identity_loss_of_the_stage_fhn_is_the_one_of_joint_learning(together):
    """It needs the teacher, moves the hallucination network, and is left out unless the objective says so."""
    late, early = Parts(), Parts(identity_from="fhn")
    assert "identity" not in hallucination_terms(late.rim, late.objective, step_of(late, "fhn", together=together))
    assert step_of(late, "fhn", together=together).teacher is None
    step = step_of(early, "fhn", together=together)
    terms = hallucination_terms(early.rim, early.objective, step)
    joint = hallucination_terms(late.rim, late.objective, step_of(late, "joint", together=together))
    torch.testing.assert_close(terms["identity"], joint["identity"])
    (gradient,) = torch.autograd.grad(terms["identity"], [early.rim.fhn.integrator.to_rgb.weight])
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("together", [False, True])
def test_a_one_sided_domain_loss_moves_the_features_of_coarse_faces_alone(together):
    """By the gradients at the features: those of both sides, and of the coarse side with the same values."""
    gradients = {}
    for moves in ("both", "coarse"):
        parts = Parts(domain_moves=moves)
        step = step_of(parts, "fhn", together=together)
        features = [step.output.priors.features, step.output.hr_priors.features]
        term = domain_terms if together else hallucination_terms
        domain = term(parts.rim, parts.objective, step)["domain"]
        gradients[moves] = torch.autograd.grad(domain, features, allow_unused=True)
    torch.testing.assert_close(gradients["coarse"][0], gradients["both"][0])
    assert gradients["both"][1].abs().max() > 0
    assert gradients["coarse"][1] is None


def test_two_turns_are_judged_alike():
    """L_pixel is the mean over both faces, the losses of priors over both turns and the sharp faces."""
    model = MODEL | {"hallucination": MODEL["hallucination"] | {"turns": 2, "residual": "probe"}}
    parts, faces = Parts(model), batch(dtype=torch.float64)
    step = step_of(parts, "fhn", faces)
    terms = hallucination_terms(parts.rim, parts.objective, step)
    (first,), output = step.output.earlier, step.output
    pixel = ((first.sr - faces.hr) ** 2).mean() / 2 + ((output.sr - faces.hr) ** 2).mean() / 2
    torch.testing.assert_close(terms["pixel"], pixel)
    read = (first.priors, output.priors, output.hr_priors)
    parsing = sum(parts.objective.parsing(priors.parsing_logits, faces.parsing) for priors in read) / 3
    torch.testing.assert_close(terms["parsing"], parsing)
    coarse = parts.rim.discriminator(first.priors.features), parts.rim.discriminator(output.hr_priors.features)
    torch.testing.assert_close(terms["domain"], parts.objective.domain(*coarse))


def test_the_assistant_grows_from_zero_into_the_residual():
    """By the rate of learning of a whole layer, not of a factor per channel, which stays near its zero start."""
    torch.manual_seed(0)
    rim = RIM(**MODEL).eval()
    parts, faces = Parts(), batch()
    sizes = torch.full((len(faces.hr),), 8)
    probes = Probes(synthesize_probe(faces.hr, sizes), sizes)
    step = prepare_step(rim, parts.objective, faces, probes, "assistant")
    optimizer = torch.optim.AdamW(rim.hrn.assistant.parameters(), lr=3e-4)
    residuals = []
    for _ in range(60):
        terms = assistant_terms(rim, parts.objective, step)
        residuals.append(terms["residual"].item())
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    assert residuals[-1] < 0.95 * residuals[0], residuals[::10]
