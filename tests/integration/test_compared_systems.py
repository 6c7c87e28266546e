"""The systems that RIM is compared with: what their steps compute, who moves, what is saved."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import ModelCheckpoint

from rim_lightning.functional.resize import reduce, resized
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.losses.pixel import PixelLoss
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.checkpoints import load_network
from rim_lightning.networks.teacher_weights import save_backbone
from rim_lightning.training.probes import Probes, sharp_probes
from rim_lightning.training.recognition_module import TERMS, RecognitionModule
from rim_lightning.training.super_resolution_module import AdversarialSuperResolutionModule, SuperResolutionModule
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import BACKBONE, batch, perturbed, probes, schedule
from tests.integration.test_fit import data_of, trainer_of, values

SHARED = {"probes": probes(nominal=4), "clip": 1.0}
GUIDED = {"learner": BACKBONE, "guide": BACKBONE, "guide_learns": True}
DISTILLED = {"learner": BACKBONE, "guide": BACKBONE, "guide_learns": False}
SGD = partial(torch.optim.SGD, lr=0.1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=4, hr_size=32)


def recognizer(network, weights, stages=("mixed",), people=6, **changes):
    torch.manual_seed(0)
    settings = {
        "contrastive": ContrastiveLoss(16.0),
        "classifier": partial(MarginSoftmax, kind="arcface", margin=0.3, scale=8.0),
        "optimizers": {"recognition": SGD},
        "teacher_weights": None,
        "start_from_teacher": False,
        "verification_pairs": 10,
        **SHARED,
    }
    return RecognitionModule(
        network,
        dict.fromkeys(TERMS, 0.0) | weights,
        people=people,
        schedule=schedule([{"name": name, "epochs": 1} for name in stages]),
        **settings | changes,
    )


def super_resolver(kind=SuperResolutionModule, stages=("pixel",), network=None, **changes):
    torch.manual_seed(0)
    return kind(
        super_resolver=network or {"name": "lapsrn", "depth": 1, "width": 4},
        pixel=PixelLoss("l2"),
        optimizers={phase.name: SGD for phase in kind.phases},
        schedule=schedule([{"name": name, "epochs": 1} for name in stages]),
        **SHARED | changes,
    )


def adversarial(stages=("pixel", "adversarial")):
    return super_resolver(
        AdversarialSuperResolutionModule,
        stages,
        {"name": "esrgan", "blocks": 1, "width": 4, "growth": 2},
        discriminator={"width": 4, "input_size": 32},
        perceptual=BACKBONE,
        teacher_weights=None,
        weights={"pixel": 1.0, "perceptual": 0.5, "adversarial": 0.1},
    )


def moved(module, before):
    return {name for name, value in values(module).items() if not torch.equal(value, before[name])}


def test_plain_distillation_by_hand():
    """Mean squared difference of the last maps over the guide's mean square, twice the cosine distance."""
    module = recognizer(DISTILLED, {"stage": 1.0, "embedding": 2.0})
    faces = batch()
    probes = faces.hr.roll(1, 0)
    found = module.terms(faces, sharp_probes(probes))
    network = module.recognizer
    guide = network.guide.stages(resized(faces.hr, 32))[-1]
    ours = network.learner.stages(resized(probes, 32))[-1]
    stage = ((guide - ours) ** 2).mean() / (guide**2).mean()
    cosine = F.cosine_similarity(network.guide.head(guide), network.learner.head(ours), dim=1)
    torch.testing.assert_close(found["stage"], stage)
    torch.testing.assert_close(found["embedding"], (1 - cosine).mean())
    torch.testing.assert_close(found["loss"], stage + 2 * (1 - cosine).mean())


def test_a_learner_that_reads_the_size_starts_as_one_that_does_not_bit_for_bit():
    plain = recognizer({"learner": BACKBONE}, {"classification": 1.0}).recognizer.eval()
    sized = recognizer({"learner": BACKBONE, "size_input": True, "lr_size": 4}, {"classification": 1.0}).recognizer
    faces, sizes = batch().hr, torch.tensor([3, 4, 8, 32])
    assert torch.equal(sized.eval().embed_probe(faces, sizes), plain.embed_probe(faces, sizes))
    sized = perturbed(sized)
    assert torch.equal(sized.embed_gallery(faces), sized.embed_probe(faces, torch.full((4,), 32)))  # no guide
    assert not torch.equal(sized.embed_gallery(faces), sized.embed_probe(faces, sizes))
    with pytest.raises(ValueError, match="takes the size"):
        sized.embed_probe(faces)


@pytest.mark.parametrize(
    ("network", "weights", "expected"),
    [
        (DISTILLED, {"stage": 1.0, "embedding": 1.0}, {"learner"}),
        ({"learner": BACKBONE}, {"classification": 1.0}, {"learner", "classifier"}),
        (
            GUIDED,
            {"classification": 1.0, "guide_classification": 1.0, "stage": 1.0},
            {"learner", "guide", "classifier"},
        ),
    ],
)
def test_a_frozen_guide_stands_still_and_a_learning_one_moves(store, tmp_path, network, weights, expected):
    module = recognizer(network, weights)
    before = values(module)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    parts = {name.split(".")[1] if name.startswith("recognizer.") else "classifier" for name in moved(module, before)}
    assert parts == expected


def test_the_distance_to_a_learning_guide_moves_the_learner_alone():
    module = recognizer(GUIDED, {"stage": 1.0, "embedding": 1.0})
    module.terms(batch(), sharp_probes(batch().hr))["loss"].backward()
    assert all(weight.grad is None for weight in module.recognizer.guide.parameters())
    assert any(weight.grad.abs().sum() > 0 for weight in module.recognizer.learner.parameters())


def test_stage_sharp_shows_sharp_faces_and_stage_mixed_probes(store, tmp_path):
    module = recognizer({"learner": BACKBONE}, {"classification": 1.0}, stages=("sharp", "mixed"))
    shown = []
    original = module.terms
    module.terms = lambda faces, probes: shown.append(torch.equal(faces.hr, probes.enlarged)) or original(faces, probes)
    trainer_of(tmp_path, 2).fit(module, data_of(store))
    half = len(shown) // 2
    assert half
    assert all(shown[:half])
    assert not any(shown[half:])


def test_centers_follow_the_embeddings_of_training_batches():
    module = recognizer({"learner": BACKBONE}, {"classification": 1.0, "center": 0.1})
    faces = batch()
    embedding = module.recognizer.learner(resized(faces.hr, 32)).detach()
    terms = module.terms(faces, sharp_probes(faces.hr))
    torch.testing.assert_close(terms["center"], embedding.square().sum(1).mean() / 2)  # the centers start at 0
    members = embedding[faces.identity == 0]
    torch.testing.assert_close(module.center.centers[0], 0.5 * members.sum(0) / (1 + len(members)))


def test_a_wider_learner_starts_as_the_teacher(tmp_path):
    torch.manual_seed(1)
    teacher = perturbed(build_backbone(**BACKBONE)).eval()
    name, *arguments = BACKBONE.items()
    save_backbone(tmp_path / "teacher.pt", teacher, name[1], dict(arguments))
    weights = {"weight_format": "rim_lightning", "path": str(tmp_path / "teacher.pt")}
    network = {"learner": BACKBONE | {"width": 12}, "guide": BACKBONE, "size_input": True, "lr_size": 4}
    start = {"teacher_weights": weights, "start_from_teacher": True}
    module = recognizer(network, {"embedding": 1.0}, **start, widen=True)
    faces = batch().hr
    embedding = module.recognizer.embed_probe(faces, torch.tensor([3, 4, 8, 32]))
    torch.testing.assert_close(embedding, teacher(faces), rtol=1e-4, atol=1e-5)
    module.terms(batch(), Probes(faces, torch.full((4,), 4)))["loss"].backward()
    with pytest.raises(ValueError, match=r"set system\.recognizer\.learner to its architecture"):
        recognizer(network, {"embedding": 1.0}, **start)
    with pytest.raises(ValueError, match=r"maps of 64 and 96 channels: set system\.weights\.stage=0"):
        recognizer(network, {"stage": 1.0}, **start, widen=True)


def test_twins_start_as_the_teacher_of_face_and_mirror_image_and_part(store, tmp_path):
    torch.manual_seed(1)
    teacher = perturbed(build_backbone(**BACKBONE)).eval()
    arguments = {name: value for name, value in BACKBONE.items() if name != "name"}
    save_backbone(tmp_path / "teacher.pt", teacher, BACKBONE["name"], arguments)
    weights = {"weight_format": "rim_lightning", "path": str(tmp_path / "teacher.pt")}
    start = {"teacher_weights": weights, "start_from_teacher": True}
    module = recognizer(DISTILLED | {"twins": True}, {"embedding": 1.0}, **start)
    faces = batch().hr
    expected = F.normalize(teacher(faces)) + F.normalize(teacher(faces.flip(-1)))
    torch.testing.assert_close(module.recognizer.embed_probe(faces), expected)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    first, second = (dict(member.named_parameters()) for member in module.recognizer.learner.members())
    assert all(not torch.equal(weight, second[name]) for name, weight in first.items() if weight.ndim > 1)
    with pytest.raises(ValueError, match="maps of 64 and 128 channels"):
        recognizer(DISTILLED | {"twins": True}, {"stage": 1.0})


@pytest.mark.parametrize(
    ("network", "weights", "people", "sentence"),
    [
        ({"learner": BACKBONE}, {}, 6, "not all of them 0"),
        ({"learner": BACKBONE}, {"stage": 1.0}, 6, "The term stage needs a guide"),
        ({"learner": BACKBONE}, {"classification": 1.0}, 0, "have no identities"),
    ],
)
def test_a_recognizer_that_cannot_learn_is_refused(network, weights, people, sentence):
    with pytest.raises(ValueError, match=sentence):
        recognizer(network, weights, people=people)


def test_pixel_loss_of_every_level_by_hand():
    module = super_resolver()
    hr = batch().hr
    levels = module.super_resolver.levels(hr)
    assert [face.shape[-1] for face in levels] == [8, 16, 32]
    wanted = sum(((face - reduce(hr, face.shape[-1], quantize=False)) ** 2).mean() for face in levels[:2])
    torch.testing.assert_close(module.pixel_loss(levels, hr), wanted + ((levels[2] - hr) ** 2).mean())


def test_the_discriminator_moves_in_its_stage_only(store, tmp_path):
    module = adversarial(("pixel",))
    before = values(module)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    assert {name.split(".")[0] for name in moved(module, before)} == {"super_resolver"}
    module = adversarial(("adversarial",))
    before = values(module)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    assert {name.split(".")[0] for name in moved(module, before)} == {"super_resolver", "discriminator"}


def test_adversarial_loss_of_the_generator_is_the_weighted_sum(store, tmp_path):
    module = adversarial(("adversarial",))
    logged = []
    module.keep_terms = lambda phase, terms: (
        logged.append((phase, {k: v.item() for k, v in terms.items()}))
        or (module._figures.update({f"train/{phase}/loss": terms["loss"].detach()}))
    )
    trainer_of(tmp_path, 1, limit_train_batches=1).fit(module, data_of(store))
    terms = dict(logged)["hallucination"]
    assert terms["loss"] == pytest.approx(terms["pixel"] + 0.5 * terms["perceptual"] + 0.1 * terms["adversarial"])
    assert dict(logged)["discriminator"]["loss"] > 0


@pytest.mark.parametrize("make", [super_resolver, adversarial, partial(recognizer, GUIDED, {"classification": 1.0})])
def test_a_checkpoint_rebuilds_the_network_and_says_what_it_is(store, tmp_path, make):
    last = ModelCheckpoint(tmp_path, "last", save_top_k=1, enable_version_counter=False)
    module = make()
    trainer_of(tmp_path, len(module.schedule.stages), [last]).fit(module, data_of(store))
    path = tmp_path / "last.ckpt"
    network = load_network(path, module.architecture)
    own = getattr(module, module.architecture)
    assert not network.training
    for name, value in own.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    with pytest.raises(ValueError, match=f"holds a {module.architecture}, where a rim is needed"):
        load_network(path, "rim")


@pytest.mark.parametrize(
    "make", [adversarial, partial(recognizer, GUIDED, {"classification": 1.0}, ("sharp", "mixed"))]
)
def test_a_resumed_run_ends_bit_for_bit_like_an_undisturbed_one(store, tmp_path, make):
    def callbacks(folder):
        return [ModelCheckpoint(tmp_path / folder, "last", save_top_k=1, enable_version_counter=False)]

    whole, part, resumed = make(), make(), make()
    trainer_of(tmp_path, 2, callbacks("whole")).fit(whole, data_of(store))
    part.on_train_epoch_end = lambda: setattr(part.trainer, "should_stop", True)
    trainer_of(tmp_path, 2, callbacks("part")).fit(part, data_of(store))
    torch.manual_seed(12345)
    path = str(tmp_path / "part" / "last.ckpt")
    trainer_of(tmp_path, 2, callbacks("part")).fit(resumed, data_of(store), ckpt_path=path, weights_only=True)
    assert all(torch.equal(value, values(resumed)[name]) for name, value in values(whole).items())
