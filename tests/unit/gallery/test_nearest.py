"""Exact search in batches against all similarities in float64."""

import numpy as np
import pytest

from rim_lightning.gallery.nearest import NearestPeople, cosines


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def expected(vectors, people, probe, top):
    """Return the people by their best float64 similarity, with the first row that has it."""
    best = {}
    for row, (person, similarity) in enumerate(zip(people.tolist(), cosines(vectors, probe).tolist(), strict=True)):
        if person not in best or similarity > best[person][0]:
            best[person] = (similarity, row)
    return sorted(((person, *found) for person, found in best.items()), key=lambda found: -found[1])[:top]


def found(vectors, people, probes, top, size):
    nearest = NearestPeople(probes, top)
    for start in range(0, len(vectors), size):
        names, codes = np.unique(people[start : start + size], return_inverse=True)
        nearest.add(vectors[start : start + size], names.tolist(), codes, start)
    return [[(hit.person, hit.similarity, hit.batch + hit.row) for hit in hits] for hits in nearest.found()]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("top", [1, 5, 40])
def test_the_people_are_those_of_all_similarities(size, top):
    random = np.random.default_rng(top)
    vectors, probes = (unit(random.normal(size=(count, 16))) for count in (400, 9))
    people = random.integers(0, 30, 400)  # fewer than 40
    for hits, probe in zip(found(vectors, people, probes, top, size), probes, strict=True):
        assert hits == expected(vectors, people, probe, top)


@pytest.mark.parametrize("size", [3, 50])
def test_similarities_that_float32_cannot_tell_apart(size):
    """Templates around one vector: their similarities differ by about the error of float32."""
    random = np.random.default_rng(0)
    center = unit(random.normal(size=(1, 512)))
    vectors = unit(center + 1e-7 * random.normal(size=(200, 512)))
    people = np.arange(200) % 50
    probes = unit(random.normal(size=(4, 512)) + 20 * center)
    assert np.argsort(vectors @ probes[0]).tolist() != np.argsort(cosines(vectors, probes[0])).tolist()
    for hits, probe in zip(found(vectors, people, probes, 10, size), probes, strict=True):
        assert hits == expected(vectors, people, probe, 10)


def test_cosines_by_hand():
    vectors, probe = unit(np.array([[3.0, 4.0], [4.0, -3.0], [0.0, 1.0]])), unit(np.array([[3.0, 4.0]]))[0]
    assert cosines(vectors, probe) == pytest.approx([1, 0, 0.8], abs=1e-7)


def test_of_equal_templates_the_first_counts():
    vectors = unit(np.ones((6, 8)))
    for size in (1, 2, 6):
        (hits,) = found(vectors, np.array([0, 1, 0, 1, 2, 2]), vectors[:1], 2, size)
        assert [(person, row) for person, _, row in hits] == [(0, 0), (1, 1)]


def test_a_similarity_does_not_depend_on_what_else_is_searched_for():
    random = np.random.default_rng(0)
    vectors, probes = (unit(random.normal(size=(count, 512))) for count in (300, 33))
    people = np.arange(300)
    together = found(vectors, people, probes, 3, 128)
    assert together == [found(vectors, people, probe[None], 3, 300)[0] for probe in probes]
