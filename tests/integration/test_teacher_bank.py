"""The teacher's embeddings of the training faces: whose they are, and that a run with them resumes bit for bit."""

import shutil
from functools import partial

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from rim_lightning.data.dataset import collate
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.functional.resize import resized
from rim_lightning.training import rim_module, teacher_bank
from rim_lightning.training.callbacks.ema import WarmedEMA
from rim_lightning.training.teacher_bank import fill_bank
from rim_lightning.types import to_unit
from tests.helpers.stores import noise_store, small_synthetic_store
from tests.helpers.tiny import ALL_WEIGHTS, TWO_VIEWS, augmentation
from tests.integration.test_compared_systems import DISTILLED, GUIDED, recognizer
from tests.integration.test_fit import module_of, trainer_of, values

DISTILLATION = partial(recognizer, DISTILLED, {"embedding": 1.0, "contrastive": 0.25, "relational": 1.0})
RIM = partial(module_of, model=TWO_VIEWS, stages=[{"name": "hrn", "epochs": 1}], objective={"weights": ALL_WEIGHTS})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    small_synthetic_store(folder / "synthetic", people=6, views=4, hr_size=32)
    names = [f"{number}.png" for number in range(10)]
    noise_store(folder / "noise", names, [None] * len(names), {}, hr_size=32, margin=4)
    return folder


def data_of(folder, **changes):
    stores = {name: folder / name for name in ("synthetic", "noise")}
    return FaceDataModule(stores, batch_size=8, eval_batch_size=5, **changes)


@pytest.mark.parametrize("make", [RIM, DISTILLATION])
def test_the_bank_holds_the_teachers_embeddings_of_center_crops_by_index(folder, tmp_path, make):
    module = make()
    data = data_of(folder, augmentation=augmentation)
    trainer_of(tmp_path, 1, limit_train_batches=1).fit(module, data)
    losses = module.objective.embeddings if hasattr(module, "objective") else module.embeddings
    crops = data_of(folder)
    crops.setup()
    faces = collate([crops.train[index] for index in range(len(crops.train))])
    teacher = module.rim.hrn.teacher if hasattr(module, "rim") else module.recognizer.guide
    with torch.no_grad():
        expected = teacher(resized(to_unit(faces.hr), 32))
    torch.testing.assert_close(losses.contrastive.bank, torch.nn.functional.normalize(expected))
    assert torch.equal(losses.contrastive.identity, faces.identity)
    assert set(faces.identity.tolist()) > {-1, 0}
    assert not [name for name in module.state_dict() if "bank" in name]


def test_the_embeddings_are_kept_for_the_next_run(folder, tmp_path, monkeypatch, capsys):
    """Read instead of computed by a run with the same teacher and faces; a damaged file is made again."""
    stores = tmp_path / "stores"
    shutil.copytree(folder, stores, ignore=shutil.ignore_patterns(teacher_bank.FOLDER))
    computed = []

    def bank_of(data=None, change=None):
        module = RIM()
        embed = module.rim.embed_gallery
        module.rim.embed_gallery = lambda faces: (computed.append(len(faces)), embed(faces))[1]
        if change is not None:
            change(module)
        trainer_of(tmp_path, 1, limit_train_batches=1).fit(module, data or data_of(stores))
        new, count = module.objective.embeddings.contrastive, sum(computed)
        computed.clear()
        return new.bank, new.identity, count

    def another_teacher(module):
        next(iter(module.rim.hrn.teacher.parameters())).data.mul_(0.5)

    bank, identity, count = bank_of()
    assert count == len(bank) > 0
    kept = bank_of(data_of(stores, augmentation=augmentation))
    assert kept[2] == 0
    assert torch.equal(kept[0], bank)
    assert torch.equal(kept[1], identity)
    assert bank_of(change=another_teacher)[2] == count
    assert bank_of(FaceDataModule({"synthetic": stores / "synthetic"}, batch_size=8))[2] == (identity != -1).sum()
    for file in (stores / teacher_bank.FOLDER).iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    again = bank_of()
    assert again[2] == count
    assert torch.equal(again[0], bank)
    assert bank_of()[2] == 0
    shutil.rmtree(stores / teacher_bank.FOLDER)
    (stores / teacher_bank.FOLDER).write_text("no folder")
    assert torch.equal(bank_of()[0], bank)
    assert "embeddings of the training faces are not kept for later runs" in capsys.readouterr().out


def test_without_the_term_or_its_phase_nothing_is_embedded(folder, tmp_path):
    for module in (module_of([{"name": "hrn", "epochs": 1}]), RIM(stages=[{"name": "fhn", "epochs": 1}])):
        trainer_of(tmp_path, 1, limit_train_batches=1).fit(module, data_of(folder))
        assert module.objective.embeddings.contrastive.bank is None


def test_faces_are_embedded_before_the_first_stage_that_needs_them_and_once(folder, tmp_path, monkeypatch):
    filled = []

    def fill(loss, teacher, embed, trainer):
        filled.append(trainer.current_epoch)
        fill_bank(loss, teacher, embed, trainer)

    monkeypatch.setattr(rim_module, "fill_bank", fill)
    module = RIM(stages=[{"name": name, "epochs": 1} for name in ("fhn", "student", "assistant")])
    trainer_of(tmp_path, 3, limit_train_batches=1).fit(module, data_of(folder))
    assert filled == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [partial(RIM, stages=[{"name": "hrn", "epochs": 2}]), partial(DISTILLATION, ("mixed",) * 2)]
)
def test_a_resumed_run_of_two_views_ends_bit_for_bit_like_an_undisturbed_one(folder, tmp_path, make):
    def callbacks(name):
        return [ModelCheckpoint(tmp_path / name, "last", save_top_k=1, enable_version_counter=False), WarmedEMA(0.9)]

    whole, part, resumed = make(), make(), make()
    trainer_of(tmp_path, 2, callbacks("whole")).fit(whole, data_of(folder))
    part.on_train_epoch_end = lambda: setattr(part.trainer, "should_stop", True)
    trainer_of(tmp_path, 2, callbacks("part")).fit(part, data_of(folder))
    torch.manual_seed(12345)
    path = str(tmp_path / "part" / "last.ckpt")
    trainer_of(tmp_path, 2, callbacks("part")).fit(resumed, data_of(folder), ckpt_path=path, weights_only=True)
    assert all(torch.equal(value, values(resumed)[name]) for name, value in values(whole).items())


def test_a_guide_that_learns_is_refused():
    with pytest.raises(ValueError, match="needs a guide that stays as it is"):
        recognizer(GUIDED, {"contrastive": 1.0})
