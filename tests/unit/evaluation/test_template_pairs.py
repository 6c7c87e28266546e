"""Templates of IJB: pooled by medium, then by template; pairs of templates are compared by cosine."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rim_lightning.evaluation.embedding_files import EmbeddedFaces
from rim_lightning.evaluation.template_pairs import judge_template_pairs, pool_templates

NAMES = ["a.jpg", "b c.jpg", "d.jpg", "e.jpg", "f.jpg"]
LIST = "a.jpg 7 1\nb c.jpg 7 2\nd.jpg 7 2\n\ne.jpg 3 9\nf.jpg 12 9\n"


def faces():
    values = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 4.0], [1.0, 1.0], [-1.0, 1.0]])
    return EmbeddedFaces(NAMES, [], values, Path("mine.npz"))


def written(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_a_template_is_the_mean_of_its_media(tmp_path):
    pooled = pool_templates(faces(), written(tmp_path, "list.txt", LIST))
    assert pooled.names == ["3", "7", "12"]
    # Template 7: medium 1 is (3, 0), medium 2 the mean of (0, 2) and (0, 4), (0, 3).
    torch.testing.assert_close(pooled.embeddings, torch.tensor([[1.0, 1.0], [1.5, 1.5], [-1.0, 1.0]]))


def test_pairs_of_templates_are_compared_by_cosine(tmp_path):
    pooled = pool_templates(faces(), written(tmp_path, "list.txt", LIST))
    judged = judge_template_pairs(pooled, pooled, written(tmp_path, "pairs.txt", "7 3 1\n12 7 0\n3 12 0\n"))
    torch.testing.assert_close(judged.scores, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    assert judged.same.tolist() == [True, False, False]


def test_many_pairs_are_those_of_a_product(tmp_path, monkeypatch):
    monkeypatch.setattr("rim_lightning.evaluation.template_pairs.BLOCK", 7)
    rng = np.random.default_rng(0)
    values, templates = rng.normal(size=(40, 8)), rng.permutation(40) * 3 + 1
    many = EmbeddedFaces([f"{n}.jpg" for n in range(40)], [], torch.tensor(values, dtype=torch.float32), Path("m.npz"))
    lines = "".join(f"{n}.jpg {template} 0\n" for n, template in enumerate(templates))
    pooled = pool_templates(many, written(tmp_path, "list.txt", lines))
    sides = rng.integers(0, 40, (100, 2))
    rows = "".join(f"{templates[a]} {templates[b]} {int(a == b or a % 2)}\n" for a, b in sides)
    judged = judge_template_pairs(pooled, pooled, written(tmp_path, "pairs.txt", rows))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    expected = (unit[sides[:, 0]] * unit[sides[:, 1]]).sum(1)
    np.testing.assert_allclose(judged.scores.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lists no picture"),
        ("a.jpg 7\n", "line 1 is not '<picture> <template> <medium>'"),
        ("a.jpg 7 1\nb c.jpg seven 1\n", "line 2 is not"),
        ("a.jpg 7 -1\n", "line 1 is not"),
        ("a.jpg 7 99999999999999999999\n", "line 1 is not"),
        ("g.jpg 7 1\n", "names g.jpg, the first of 1 pictures that have no embedding in mine.npz"),
        ("e.jpg 7 1\nf.jpg 7 2\nminus.jpg 7 3\n", "the pictures of the template 7 cancel out"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, text, sentence):
    some = faces()
    values = torch.cat([some.embeddings, torch.tensor([[0.0, -2.0]])])
    some = some._replace(names=[*NAMES, "minus.jpg"], embeddings=values)
    with pytest.raises(ValueError, match=sentence):
        pool_templates(some, written(tmp_path, "list.txt", text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not a list"),
        ("7 3\n", "is not a list"),
        ("7 3 1\n7 3\n", "is not a list"),
        ("7 3 2\n", "labels 0 and 1"),
        ("7 x 1\n", "is not a list"),
        ("7 3 1\n", "pairs of one kind alone"),
        ("7 3 1\n7 4 0\n", "names the template .*4.*, of which no picture is listed"),
        ("7 3 1\n7 4000000 0\n", "of which no picture is listed"),
    ],
)
def test_wrong_pairs_are_refused(tmp_path, text, sentence):
    pooled = pool_templates(faces(), written(tmp_path, "list.txt", LIST))
    with pytest.raises(ValueError, match=sentence):
        judge_template_pairs(pooled, pooled, written(tmp_path, "pairs.txt", text))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"list\.txt"):
        pool_templates(faces(), tmp_path / "list.txt")
    pooled = pool_templates(faces(), written(tmp_path, "list.txt", LIST))
    with pytest.raises(FileNotFoundError, match=r"pairs\.txt"):
        judge_template_pairs(pooled, pooled, tmp_path / "pairs.txt")
