"""Reading state dicts: what is stripped, and that a file cannot run code."""

import pytest
import torch
from torch import nn

from rim_lightning.networks.published.state_dict import fill, read_state_dict


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_a_hostile_file_is_refused_and_does_not_run(tmp_path):
    torch.save({"weight": Hostile(tmp_path / "written_by_the_file")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil.pth is not a PyTorch weight file"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "written_by_the_file").exists()


def test_fill_copies_by_name_and_ignores_counters(tmp_path):
    source = {"a.weight": torch.tensor([[3.0]]), "b.num_batches_tracked": torch.tensor(9)}
    torch.save({f"module.{name}": value for name, value in source.items()}, tmp_path / "net.pth")
    state = read_state_dict(tmp_path / "net.pth")
    assert state.keys() == source.keys()
    model = nn.Linear(1, 1, bias=False)
    fill(model, state, {"weight": "a.weight"}, "net.pth")
    assert torch.equal(model.weight.data, torch.tensor([[3.0]]))
