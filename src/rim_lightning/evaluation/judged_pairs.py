"""Scores that any system gives to pairs, from a table of scores or from files of embeddings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.files import read_rows
from rim_lightning.data.readers.lfw import read_pairs
from rim_lightning.data.readers.pack import read_pack
from rim_lightning.data.readers.pair_lists import read_pair_csv
from rim_lightning.data.readers.surveillance import read_survface_pairs
from rim_lightning.evaluation.embedding_files import EmbeddedFaces
from rim_lightning.functional.verification import cosine_similarity

MOST_PAIRS = 20_000_000
"""Most pairs of pictures that are compared without a list."""

PEOPLE = ("person_a", "person_b")

COLUMNS = ("score", "same", "fold", *PEOPLE)
"""Columns of a table of scores; others are not read."""

LARGEST_SCORE = 1e30
"""Largest size of a score: sums and squares of such scores are finite."""


class JudgedPairs(NamedTuple):
    """Pairs and the score that a system gives to each.

    Attributes:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a pair of one person.
        fold: (P,) int64, fold of each pair; None if there are no folds.
        first: (P,) int64, person of the first picture; None if the people are unknown.
        second: (P,) int64, person of the second picture; None if the people are unknown.
        people: Names of the people, by their numbers.
    """

    scores: Tensor
    same: Tensor
    fold: Tensor | None = None
    first: Tensor | None = None
    second: Tensor | None = None
    people: Sequence[str] = ()

    def differs_from(self, other: "JudgedPairs") -> str:
        """Return what differs in the pairs of two systems, whose scores may differ; "" if nothing does."""
        if len(self.same) != len(other.same):
            return f"{len(self.same)} pairs, not the {len(other.same)}"
        if not torch.equal(self.same, other.same):
            return "other labels than those"
        columns = ((self.fold, other.fold), (self.first, other.first), (self.second, other.second))
        equal = [torch.equal(a, b) if a is not None and b is not None else a is b for a, b in columns]
        return "" if all(equal) and list(self.people) == list(other.people) else "other folds or people than those"


def read_scores(file: Path) -> JudgedPairs:
    """Read a table with a header: `score` and `same` (0 or 1), perhaps `fold`, `person_a` and `person_b`.

    Args:
        file: The table. Its columns are separated by tabs, commas or semicolons.

    Returns:
        The pairs in the order of the table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a cell is wrong; if a label contradicts the people; or if a kind of pair
            is missing.
    """
    header, rows = read_rows(file, "a table with the columns score and same")
    missing = [name for name in ("score", "same") if name not in header]
    if missing:
        raise ValueError(f"{file} has no column '{missing[0]}'; its first line has {', '.join(header)[:200]}.")
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise ValueError(f"{file} has two columns '{twice[0]}': leave one out.")
    if len(set(PEOPLE).intersection(header)) == 1:
        raise ValueError(f"{file} has one of the columns person_a and person_b: give both, or none.")
    place = {name: number for number, name in enumerate(header)}
    scores, same, fold = [], [], []
    names: list[tuple[str, str]] = []
    known = all(name in place for name in PEOPLE)
    for number, row in rows:
        label = row[place["same"]].strip()
        try:
            scores.append(float(row[place["score"]]))
            fold.append(int(row[place["fold"]]) if "fold" in place else 0)
        except ValueError:
            raise ValueError(f"{file} line {number} has a score or fold that is no number.") from None
        if label not in ("0", "1") or not abs(scores[-1]) <= LARGEST_SCORE or not 0 <= fold[-1] < 10**9:
            raise ValueError(f"{file} line {number} needs a finite score (to 1e30), same 0 or 1, and a fold from 0.")
        same.append(label == "1")
        if known:
            names.append((row[place[PEOPLE[0]]].strip(), row[place[PEOPLE[1]]].strip()))
            if not all(names[-1]) or (names[-1][0] == names[-1][1]) != same[-1]:
                raise ValueError(f"{file} line {number}: same contradicts person_a and person_b, or one is empty.")
    pairs = JudgedPairs(
        torch.tensor(scores, dtype=torch.float64), torch.tensor(same, dtype=torch.bool), _folds(fold), *_numbered(names)
    )
    return _checked(pairs, str(file))


def read_pair_list(file: Path) -> list[Pair]:
    """Read a list of pairs: a table `.csv`, a pack `.bin` or `.parquet`, View 2 of LFW, or those of QMUL-SurvFace.

    Args:
        file: The list; of QMUL-SurvFace its folder, or one of the two files `.mat`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    if file.is_dir() or file.suffix.lower() == ".mat":
        return read_survface_pairs(file)
    readers: dict[str, Callable[[Path], list[Pair]]] = {".csv": read_pair_csv, ".bin": _pack, ".parquet": _pack}
    return readers.get(file.suffix.lower(), read_pairs)(file)


def _pack(file: Path) -> list[Pair]:
    return read_pack(file)[1]


def judge_pairs(gallery: EmbeddedFaces, probe: EmbeddedFaces, pairs: Sequence[Pair], where: str) -> JudgedPairs:
    """Compare the pairs of a list by the cosine of their embeddings.

    Args:
        gallery: Embeddings of first pictures.
        probe: Embeddings of second pictures.
        pairs: The list.
        where: Name of the list, for messages.

    Raises:
        ValueError: If a picture has no embedding, a label contradicts the people, or a kind of pair is missing.
    """
    rows = (gallery.rows([pair.gallery for pair in pairs], where), probe.rows([pair.probe for pair in pairs], where))
    scores = cosine_similarity(gallery.embeddings[rows[0]], probe.embeddings[rows[1]])
    same = torch.tensor([pair.same for pair in pairs], dtype=torch.bool)
    names: list[tuple[str, str]] = []
    if gallery.people and probe.people:
        sides = [[faces.people[row] for row in rows[n].tolist()] for n, faces in enumerate((gallery, probe))]
        names = list(zip(*sides, strict=True))
        wrong = [n for n, (a, b) in enumerate(names) if (a == b) != pairs[n].same]
        if wrong:
            raise ValueError(
                f"{where} says that {pairs[wrong[0]].gallery} and {pairs[wrong[0]].probe} show "
                f"{'one person' if pairs[wrong[0]].same else 'two people'}, the people of the embeddings say otherwise."
            )
    return _checked(JudgedPairs(scores, same, _folds([pair.fold for pair in pairs]), *_numbered(names)), where)


def judge_everybody(gallery: EmbeddedFaces, probe: EmbeddedFaces, where: str) -> JudgedPairs:
    """Compare all pictures of known people with each other, by the cosine of their embeddings.

    Args:
        gallery: Embeddings of first pictures.
        probe: Embeddings of second pictures, or `gallery` itself: then each pair is taken once. No picture is
            compared with itself.
        where: Name of the files, for messages.

    Raises:
        ValueError: If the people are unknown, there are too many pairs, or a kind of pair is missing.
    """
    if not (gallery.people and probe.people):
        raise ValueError(f"{where} names no people: give a list of pairs, or the person of each picture.")
    count = len(gallery.people) * len(probe.people)
    if count > MOST_PAIRS:
        raise ValueError(f"{where} has {count:,} pairs, more than {MOST_PAIRS:,}: give a list of pairs.")
    scores = torch.nn.functional.normalize(gallery.embeddings) @ torch.nn.functional.normalize(probe.embeddings).T
    if probe is gallery:
        row, column = torch.triu_indices(len(scores), len(scores), 1)
    else:
        number_of = {name: number for number, name in enumerate(probe.names)}
        own = torch.tensor([number_of.get(name, -1) for name in gallery.names])
        row, column = (own[:, None] != torch.arange(len(probe.names))).nonzero(as_tuple=True)
    first, second, people = _people_numbers(gallery.people, probe.people)
    a, b = first[row], second[column]
    return _checked(JudgedPairs(scores[row, column], a == b, None, a, b, people), where)


def search_scores(gallery: EmbeddedFaces, probe: EmbeddedFaces) -> tuple[Tensor, Tensor, Tensor] | None:
    """Search for each picture that is not the first of its person in a gallery of the first ones.

    Args:
        gallery: Embeddings of sharp pictures of known people.
        probe: Embeddings of the same pictures as probes, or `gallery` itself.

    Returns:
        Cosines (K, G), person of each probe (K,) and of each gallery picture (G,); None if the people are unknown, or
        nobody has a second picture.
    """
    if not (gallery.people and probe.people):
        return None
    first, second, _ = _people_numbers(gallery.people, probe.people)
    place_of: dict[int, int] = {}
    for place, person in enumerate(first.tolist()):
        place_of.setdefault(person, place)
    is_first = torch.zeros(len(first), dtype=torch.bool)
    is_first[list(place_of.values())] = True
    of_gallery = {name for name, chosen in zip(gallery.names, is_first.tolist(), strict=True) if chosen}
    is_probe = torch.tensor([name not in of_gallery for name in probe.names]) & torch.isin(second, first)
    if not is_probe.any():
        return None
    sharp, small = gallery.embeddings[is_first], probe.embeddings[is_probe]
    scores = torch.nn.functional.normalize(small) @ torch.nn.functional.normalize(sharp).T
    return scores, second[is_probe], first[is_first]


def _people_numbers(first: Sequence[str], second: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
    people = sorted({*first, *second})
    number = {name: position for position, name in enumerate(people)}
    return torch.tensor([number[name] for name in first]), torch.tensor([number[name] for name in second]), people


def _numbered(names: Sequence[tuple[str, str]]) -> tuple[Tensor | None, Tensor | None, Sequence[str]]:
    """Return the number of each person of each pair, and their names; None if the people are unknown."""
    return _people_numbers([a for a, _ in names], [b for _, b in names]) if names else (None, None, ())


def _folds(fold: Sequence[int]) -> Tensor | None:
    return torch.tensor(fold) if len(set(fold)) > 1 else None


def _checked(pairs: JudgedPairs, where: str) -> JudgedPairs:
    if not pairs.same.any() or pairs.same.all():
        missing = "two people" if pairs.same.any() else "one person"
        raise ValueError(f"{where} has no pair of {missing}: nothing can be measured.")
    return pairs
