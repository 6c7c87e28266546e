"""A gallery that pools compares with the mean of each person's pictures, whatever was added and removed before."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.gallery.index import Enrolled, Gallery, Template
from rim_lightning.gallery.mixed_people import mixed_people
from rim_lightning.gallery.pooled import PooledPeople
from rim_lightning.inference.recognizer import pool
from tests.unit.inference.test_templates import at_angles, calibration

SIZE = 16
PEOPLE = ["ana", "ben", "ana", "zoe", "ana", "ben"]


def embeddings(count, seed=0):
    return F.normalize(torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed)))


def templates(vectors, people):
    return [
        Template(Enrolled(person, f"{person} {number}.png", f"digest {number}"), vector)
        for number, (person, vector) in enumerate(zip(people, vectors, strict=True))
    ]


def by_hand(probe, vectors, people):
    """(person, number of pictures, similarity, nearest picture) of each person, the most similar first."""
    rows = {person: [i for i, other in enumerate(people) if other == person] for person in set(people)}
    found = [
        (
            person,
            len(own),
            float(probe @ pool(vectors[own])),
            f"{person} {max(own, key=lambda i: float(probe @ vectors[i]))}.png",
        )
        for person, own in rows.items()
    ]
    return sorted(found, key=lambda row: -row[2])


def plain(hits):
    return [(hit.person, hit.pooled, pytest.approx(hit.similarity, abs=1e-6), hit.source) for hit in hits]


@pytest.fixture
def gallery(tmp_path):
    pytest.importorskip("lancedb")
    return Gallery(tmp_path / "index", "abc", SIZE, create=True, pooled=True)


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_templates_are_those_of_pool_however_the_pictures_arrive(size):
    vectors = embeddings(6)
    pooled = PooledPeople(SIZE)
    for start in range(0, 6, size):
        people = PEOPLE[start : start + size]
        names = list(dict.fromkeys(people))
        pooled.add(vectors[start : start + size].numpy(), names, torch.tensor([names.index(p) for p in people]).numpy())
    assert pooled.counts() == {"ana": 3, "ben": 2, "zoe": 1}
    ((made, names),) = pooled.templates()
    for name, template in zip(names, made, strict=True):
        own = [i for i, person in enumerate(PEOPLE) if person == name]
        torch.testing.assert_close(torch.from_numpy(template), pool(vectors[own]), rtol=0, atol=1e-6)
    ((made, names),) = pooled.templates(["zoe", "nobody"])
    assert names == ["zoe"]
    torch.testing.assert_close(torch.from_numpy(made[0]), vectors[3], rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_a_search_compares_with_the_mean_of_each_person(gallery, count):
    vectors, probes = embeddings(6), embeddings(count, seed=1)
    gallery.add(templates(vectors, PEOPLE))
    assert gallery.compared() == 3
    assert len(gallery) == 6
    for probe, hits in zip(probes, gallery.search(probes, 3), strict=True):
        assert plain(hits) == by_hand(probe, vectors, PEOPLE)
    for probe, hits in zip(probes, gallery.search(probes, 1), strict=True):
        assert plain(hits) == by_hand(probe, vectors, PEOPLE)[:1]
    (hits, *_) = gallery.search(probes, 3, people=["ben", "nobody"])
    assert plain(hits) == [row for row in by_hand(probes[0], vectors, PEOPLE) if row[0] == "ben"]


def test_more_people_than_one_block_are_all_compared(gallery, monkeypatch):
    monkeypatch.setattr("rim_lightning.gallery.pooled.BLOCK", 7)
    vectors, people = embeddings(60), [f"person {number % 20}" for number in range(60)]
    gallery.add(templates(vectors, people))
    (probe,) = embeddings(1, seed=4)
    assert plain(gallery.search(probe[None], 20)[0]) == by_hand(probe, vectors, people)


def test_a_template_is_made_anew_when_a_picture_comes_or_goes(gallery):
    """Also by another process, and by a rewrite of all files: that the gallery pools is not lost."""
    vectors = embeddings(6)
    (probe,) = embeddings(1, seed=2)
    other = Gallery(gallery.address, "abc", SIZE)
    assert other.is_pooled
    rows = templates(vectors, PEOPLE)
    for reader in (gallery, other):
        gallery.add([row for row in rows if row.picture not in gallery.enrolled()][:3])
        count = len(gallery)
        assert plain(reader.search(probe[None], 5)[0]) == by_hand(probe, vectors[:count], PEOPLE[:count])
    gallery.remove({rows[5].picture})
    gallery.tidy()
    for reader in (gallery, other, Gallery(gallery.address, None)):
        assert reader.is_pooled
        assert plain(reader.search(probe[None], 5)[0]) == by_hand(probe, vectors[:5], PEOPLE[:5])
    gallery.delete("ana")
    assert [hit.person for hit in other.search(probe[None], 5)[0]] == [
        row[0] for row in by_hand(probe, vectors[:5], PEOPLE[:5]) if row[0] != "ana"
    ]


def test_whether_a_gallery_pools_is_chosen_when_it_is_made(tmp_path, gallery):
    assert Gallery(gallery.address, "abc", SIZE, create=True, pooled=True).is_pooled
    plain_gallery = Gallery(tmp_path / "plain", "abc", SIZE, create=True)
    assert not plain_gallery.is_pooled
    with pytest.raises(ValueError, match=r"has a template for each picture, .* leave --pool out"):
        Gallery(tmp_path / "plain", "abc", SIZE, create=True, pooled=True)
    plain_gallery.add(templates(embeddings(6), PEOPLE))
    assert plain_gallery.compared() == 6
    assert {hit.pooled for hit in plain_gallery.search(embeddings(1, seed=1), 3)[0]} == {1}


def test_people_whose_pictures_look_like_two_are_found(tmp_path):
    """Ana's third picture is 70 degrees from the others, ben's are alike; the threshold is that of the card."""
    pytest.importorskip("lancedb")
    vectors = at_angles(0, 3, 70, 10, 12)
    gallery = Gallery(tmp_path / "index", "abc", vectors.shape[1], create=True, pooled=True)
    gallery.add(templates(vectors, ["ana", "ana", "ana", "ben", "ben"]))
    (found,) = mixed_people(gallery, ["ana", "ben"], calibration())
    assert found.person == "ana"
    assert [found.sources[place] for place in found.disagreement.groups[1]] == ["ana 2.png"]
    assert mixed_people(gallery, ["ben"], calibration()) == []
    assert mixed_people(gallery, ["ana"], None) == []
