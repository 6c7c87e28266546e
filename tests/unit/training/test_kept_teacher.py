"""A kept teacher is trained once for equal requests, and again if anything that decides its weights differs."""

import json
import threading

import pytest
import torch

from rim_lightning.training import kept_teacher
from rim_lightning.training.kept_teacher import TeacherRequest, provide_teacher

REQUEST = TeacherRequest(
    {"name": "mobilefacenet", "width": 8}, {"epochs": 1, "learning_rate": 1e-3}, {"batch_size": 4}, "cpu", 10, 0
)


class Data:
    """Training faces of one store."""

    def __init__(self, folder, faces: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text(faces)
        self.stores = {"synthetic": folder}

    def prepare_data(self) -> None:
        pass


@pytest.fixture
def trained(monkeypatch):
    """The seeds of the teachers that were trained; the file of one holds its number."""
    seeds = []

    def train(data, backbone, path, *, seed, **settings):
        seeds.append(seed)
        path.write_text(f"teacher {len(seeds)}")
        return {"val/accuracy": 0.5 + len(seeds)}

    monkeypatch.setattr(kept_teacher, "train_teacher", train)
    return seeds


def provided(tmp_path, data, request, name="teacher.pt"):
    figures = provide_teacher(data, request, tmp_path / name, tmp_path / "teachers")
    return (tmp_path / name).read_text(), figures


def test_equal_requests_share_one_teacher_and_say_so(trained, tmp_path, capsys):
    data = Data(tmp_path / "store", "{}")
    first = provided(tmp_path, data, REQUEST)
    assert "kept in" in capsys.readouterr().out
    elsewhere = Data(tmp_path / "copy of the store", "{}")
    assert provided(tmp_path, elsewhere, REQUEST, "other.pt") == first == ("teacher 1", {"val/accuracy": 1.5})
    assert "Teacher taken from" in capsys.readouterr().out
    assert trained == [0]


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": {"name": "mobilefacenet", "width": 16}},
        {"training": {"epochs": 2, "learning_rate": 1e-3}},
        {"training": {"epochs": 1, "learning_rate": 2e-3}},
        {"faces": {"batch_size": 8}},
        {"accelerator": "gpu"},
        {"seed": 1},
    ],
    ids=str,
)
def test_another_request_trains_another_teacher(trained, tmp_path, change):
    data = Data(tmp_path / "store", "{}")
    provided(tmp_path, data, REQUEST)
    assert provided(tmp_path, data, REQUEST._replace(**change))[0] == "teacher 2"


def test_other_faces_or_threads_train_another_teacher(trained, tmp_path, monkeypatch):
    digest = REQUEST.digest(Data(tmp_path / "store", "{}"))
    assert REQUEST.digest(Data(tmp_path / "other", '{"people": 3}')) != digest
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert REQUEST.digest(Data(tmp_path / "store", "{}")) != digest
    on_gpu = REQUEST._replace(accelerator="gpu")
    with_77 = on_gpu.digest(Data(tmp_path / "store", "{}"))
    monkeypatch.undo()
    assert on_gpu.digest(Data(tmp_path / "store", "{}")) == with_77


@pytest.mark.parametrize("damage", ["weights", "record", "no record"])
def test_a_damaged_kept_teacher_is_made_anew_and_said_so(trained, tmp_path, damage, capsys):
    data = Data(tmp_path / "store", "{}")
    provided(tmp_path, data, REQUEST)
    (weights,), (record,) = ((tmp_path / "teachers").glob(f"*.{ending}") for ending in ("pt", "json"))
    if damage == "weights":
        weights.write_text("torn")
    elif damage == "record":
        record.write_text("{")
    else:
        record.unlink()  # it was killed in between
    assert provided(tmp_path, data, REQUEST)[0] == "teacher 2"
    assert ("is damaged" in capsys.readouterr().out) == (damage != "no record")
    assert json.loads(record.read_text())["figures"] == {"val/accuracy": 2.5}
    assert provided(tmp_path, data, REQUEST)[0] == "teacher 2"


def test_runs_that_ask_at_once_train_it_once(trained, tmp_path, monkeypatch):
    data = Data(tmp_path / "store", "{}")
    started, go_on = threading.Event(), threading.Event()
    at_once = kept_teacher.train_teacher

    def slowly(*arguments, **settings):
        started.set()
        assert go_on.wait(10)
        return at_once(*arguments, **settings)

    monkeypatch.setattr(kept_teacher, "train_teacher", slowly)
    threads = [threading.Thread(target=provided, args=(tmp_path, data, REQUEST, f"{n}.pt")) for n in range(3)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert trained == [0]
    assert {(tmp_path / f"{n}.pt").read_text() for n in range(3)} == {"teacher 1"}
