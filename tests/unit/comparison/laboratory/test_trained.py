"""Networks by the name of their system."""

import pytest
import torch

from rim_lightning.comparison.laboratory import trained
from rim_lightning.comparison.laboratory.readings import BICUBIC
from rim_lightning.comparison.laboratory.trained import LOADED, TrainedNetworks
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.comparison.plan.systems import System
from rim_lightning.files import write_json
from rim_lightning.runs.folder import RunFolder


class Plan:
    """`fhn` with two seeds, `rim` that starts from it."""

    def __init__(self, folder):
        self.folder = folder
        self.systems = {
            "fhn": System("fhn", "hallucination", "fhn", seeds=(0, 1)),
            "rim": System("rim", "recognition", "rim", after="fhn"),
        }

    def runs(self, name):
        seeds = self.systems[name].seeds
        return [Run(f"{name}{seed}", RunFolder(self.folder / f"{name}{seed}"), (), name, ()) for seed in seeds]


def finish(run, faces, start="null"):
    run.folder.checkpoints.mkdir(parents=True)
    run.checkpoint.write_text(run.key)
    write_json(run.folder.state, {"name": "finished", "attempts": 1})
    run.folder.config.write_text(
        f"data: {{samples_per_epoch: {faces}}}\nschedule: {{stages: [{{epochs: 3}}, {{epochs: 2}}]}}\n"
        f"start_from: {start}\n"
    )


def test_faces_of_the_network_that_a_system_starts_from_count(tmp_path):
    plan = Plan(tmp_path)
    networks = TrainedNetworks(plan, {}, torch.device("cpu"))
    for run in plan.runs("fhn"):
        finish(run, 100)
    with pytest.raises(NotTrained, match="rim"):
        networks.faces_seen("rim")
    finish(plan.runs("rim")[0], 7, plan.runs("fhn")[0].checkpoint)
    assert networks.faces_seen("fhn") == 500
    assert networks.faces_seen("rim") == 535
    assert networks.faces_seen(BICUBIC) == 0
    assert [network.digest.split()[0] for network in networks.seeds("fhn")] == ["fhn0", "fhn1"]


def test_only_the_last_networks_stay_in_memory(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(trained, "load_network", lambda path: loaded.append(path) or torch.nn.Identity())
    networks = TrainedNetworks(Plan(tmp_path), {}, torch.device("cpu"))
    for number in range(LOADED + 1):
        networks._load(tmp_path / str(number))
    assert len(networks._loaded) == LOADED
    networks._load(tmp_path / str(LOADED))
    networks._load(tmp_path / "0")
    assert [path.name for path in loaded] == [*(str(number) for number in range(LOADED + 1)), "0"]
