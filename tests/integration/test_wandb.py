"""Offline W&B runs of two sittings, read back from the files that `wandb sync` uploads."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from rim_lightning.runs.provenance import code_version
from rim_lightning.runs.sweep import new_sweep
from rim_lightning.training.callbacks.wandb_tracking import (
    job_name,
    job_tags,
    panel_pixels,
    roc_points,
)
from rim_lightning.training.run import train
from tests.integration.test_configs import QUICK, composed


def records(folder: Path) -> dict[str, list]:
    """kind -> the records of an offline file, in order."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    found: dict[str, list] = {}
    for data in entries(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found


def entries(content: bytes):
    """Entries of a file in LevelDB's log format: 7 bytes of header, then blocks of 32 KiB with chunks of
    CRC (4 bytes), length (2), type (1: whole, 2: first, 3: middle, 4: last)."""
    block, entry, place = 32768, b"", 7
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        if kind in (1, 2):  # a whole one or the first chunk: what is left of an entry before it was given up
            entry = b""
        entry += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield entry
            entry = b""


def history(found) -> dict[str, list]:
    """key -> its logged values."""
    values: dict[str, list] = {}
    for row in found.get("history", []):
        for item in row.item:
            values.setdefault(item.key or "/".join(item.nested_key), []).append(json.loads(item.value_json))
    return values


@pytest.mark.slow
def test_two_sittings_are_two_files_of_one_run_with_all_that_is_promised(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    sweep = new_sweep(tmp_path / "a" / "sweep", {}).with_jobs([["seed=1", "optim.clip=1"], ["seed=0", "optim.clip=1"]])
    for name, value in sweep.environment_of(sweep.jobs[1]).items():
        monkeypatch.setenv(name, value)
    wandb.teardown()  # W&B reads the environment once in a process: an earlier test may have started it
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)  # must appear nowhere
    folder = tmp_path / "run"
    settings = [*QUICK, f"paths.prepared_dir={tmp_path / 'prepared'}", "logger=wandb", "logger.wandb.offline=true"]
    settings += ["trainer.check_val_every_n_epoch=1", "trainer.log_every_n_steps=10"]  # more than there are batches
    for epochs in (1, 2):
        train(composed(*settings, f"schedule.stages=[{{name: fhn, epochs: {epochs}}}]", "resume=true", folder=folder))
        wandb.finish()
    sittings = sorted((folder / "wandb").glob("offline-run-*"))
    assert len(sittings) == 2
    found = [records(sitting) for sitting in sittings]
    assert len({each["run"][0].run_id for each in found}) == 1
    assert all(each["run"][0].run_group == "a/sweep" for each in found)
    assert {each["run"][0].display_name for each in found} == {"demo 1: seed=0"}
    assert {tuple(each["run"][0].tags) for each in found} == {("job 1", "seed=0")}
    logged = history(found[0])
    for key in (
        "train/hallucination/loss",
        "train/domain/domain",
        "gradient/hallucination",
        "val/mmd_p",
        "val/faces/path",
        "val/roc_table/path",
        "speed/pairs_per_s",
    ):
        assert key in logged, key
    assert 0 < logged["val/mmd_p"][0] <= 1
    picture = sittings[0] / "files" / logged["val/faces/path"][0]
    assert picture.stat().st_size > 1000
    config = {item.key: json.loads(item.value_json) for each in found[0]["config"] for item in each.update}
    assert config["code"] == code_version()
    assert len(config["data_digests"]["synthetic"]) == 64
    assert config["data"]["batch_size"] == 16  # a setting of the run, as before it was sent
    assert config["data"]["_target_"].endswith("SyntheticDataModule")
    assert config["sweep_job"] == {"number": 1, "settings": {"seed": "0"}}
    assert "paths" not in config
    assert config["optim"]["clip"] == 10.0
    artifacts = {record.type for each in found for record in each.get("artifact", [])}
    artifacts |= {each.log_artifact.artifact.type for sitting in found for each in sitting.get("request", [])}
    assert {"model", "report"} <= artifacts
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert os.environ["WANDB_API_KEY"].encode() not in everything


def test_names_and_tags_tell_jobs_apart():
    settings = {"seed": "1", "optim.student.lr": "0.1", "optim.assistant.lr": "0.2", "optim.clip": "3"}
    job = {"number": 7, "settings": settings}
    assert job_name("demo", job) == "demo 7: seed=1 optim.student.lr=0.1 optim.assistant.lr=0.2 clip=3"
    assert job_tags(job)[:2] == ["job 7", "seed=1"]
    assert job_name("demo", {"number": 0, "settings": {}}) == "demo 0"
    long = {"number": 0, "settings": {"schedule.stages": "x" * 200}}
    assert len(job_name("demo", long)) == 128  # the limits of W&B
    assert [len(tag) for tag in job_tags(long)] == [5, 64]


def test_the_points_of_a_roc_are_those_of_the_curve():
    """Two impostors at .2 and .6, two genuine pairs at .4 and .8, by hand; and its ends where it is thinned."""
    scores, same = torch.tensor([0.2, 0.4, 0.6, 0.8]), torch.tensor([False, True, False, True])
    assert roc_points(scores, same) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    scores = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    thinned = roc_points(scores, scores > 0.5, points=20)
    assert len(thinned) == 20
    assert thinned[0] == (0, 0)
    assert thinned[-1] == (1, 1)


def test_a_panel_has_a_face_in_every_row():
    faces = torch.full((2, 3, 3, 4, 4), -1.0)
    faces[1, 2, 0] = 1.0
    pixels = panel_pixels(faces)
    assert pixels.shape == (8, 12, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[4:, 8:, 0] == 255).all()
    assert pixels.sum() == 255 * 16
