import torch

from rim_lightning.metrics.unique import keep_unique


def test_first_row_of_each_index_in_ascending_order():
    index = torch.tensor([7, 2, 7, 0, 2])
    values = torch.tensor([[70.0], [20.0], [71.0], [0.0], [21.0]])
    unique, rows, doubled = keep_unique(index, values, 2 * values)
    assert unique.tolist() == [0, 2, 7]
    assert rows.tolist() == [[0.0], [20.0], [70.0]]
    assert doubled.tolist() == [[0.0], [40.0], [140.0]]
