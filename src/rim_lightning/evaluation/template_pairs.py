"""Templates of many pictures, as IJB-B and IJB-C compare them: embeddings are pooled, then pairs are scored."""

from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.readers.files import excerpt, read_label_text, require_file
from rim_lightning.evaluation.embedding_files import EmbeddedFaces
from rim_lightning.evaluation.judged_pairs import JudgedPairs
from rim_lightning.files import open_regular

BLOCK = 100_000
"""Pairs that are scored at a time."""


def pool_templates(faces: EmbeddedFaces, file: Path) -> EmbeddedFaces:
    """Pool the embeddings of each template: the mean of its media, each the mean of its pictures.

    A frame counts as a part of its medium, so that a long clip weighs no more than one photograph. Embeddings are
    pooled as they are: their lengths are weights, as in the published protocol.

    Args:
        faces: Embeddings of pictures.
        file: List of `<picture> <template> <medium>`, a line for each picture of a template; templates and media are
            whole numbers. It is called `ijbc_face_tid_mid.txt` in the kit of insightface.

    Returns:
        Embeddings of the templates, named by their numbers. The people are unknown.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is wrong, a picture has no embedding, or the pictures of a template cancel out.
    """
    names, keys = [], []
    text = read_label_text(file, "lines '<picture> <template> <medium>'")
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.rsplit(maxsplit=2)
        if not fields:
            continue
        if len(fields) != 3 or not all(field.isascii() and field.isdigit() and len(field) < 16 for field in fields[1:]):
            raise ValueError(f"{file} line {number} is not '<picture> <template> <medium>' with two whole numbers.")
        names.append(fields[0])
        keys.append((int(fields[1]), int(fields[2])))
    if not names:
        raise ValueError(f"{file} lists no picture.")
    embeddings = faces.embeddings[faces.rows(names, str(file))].double()
    media, medium_of = np.unique(np.array(keys, dtype=np.int64), axis=0, return_inverse=True)
    templates, template_of = np.unique(media[:, 0], return_inverse=True)
    pooled = _means(_means(embeddings, medium_of.reshape(-1)), template_of)
    lengths = pooled.norm(dim=1)
    if (lengths < 1e-6 * embeddings.norm(dim=1).mean()).any():
        raise ValueError(f"{file}: the pictures of the template {templates[int(lengths.argmin())]} cancel out.")
    return EmbeddedFaces([str(template) for template in templates], [], pooled.float(), file)


def judge_template_pairs(gallery: EmbeddedFaces, probe: EmbeddedFaces, file: Path) -> JudgedPairs:
    """Compare pairs of templates by the cosine of their embeddings.

    Args:
        gallery: Embeddings of templates, see `pool_templates`.
        probe: The same of second templates, or `gallery` itself.
        file: List of `<template> <template> <label>`, 1 for a pair of one person and 0 for two. It is called
            `ijbc_template_pair_label.txt` in the kit of insightface, and may have tens of millions of lines.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is wrong, a template is unknown, or a kind of pair is missing.
    """
    pairs = _read_template_pairs(file)
    sides = [_places(pairs[:, side], faces, file) for side, faces in enumerate((gallery, probe))]
    first, second = (torch.nn.functional.normalize(faces.embeddings) for faces in (gallery, probe))
    scores = torch.empty(len(pairs), dtype=torch.float64)
    for start in range(0, len(pairs), BLOCK):
        rows = slice(start, start + BLOCK)
        scores[rows] = (first[sides[0][rows]] * second[sides[1][rows]]).sum(1).double()
    judged = JudgedPairs(scores, torch.from_numpy(pairs[:, 2] == 1))
    if judged.same.all() or not judged.same.any():
        raise ValueError(f"{file} has pairs of one kind alone: nothing can be measured.")
    return judged


def _read_template_pairs(file: Path) -> NDArray[np.int64]:
    try:
        with open_regular(require_file(file, "a list '<template> <template> <label>'")) as stream, catch_warnings():
            simplefilter("ignore")  # numpy warns of an empty file, which is refused below
            pairs = np.loadtxt(stream, dtype=np.int64, comments=None, ndmin=2, encoding="utf-8")
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a list '<template> <template> <label>' ({str(error)[:80]}).") from None
    if pairs.ndim != 2 or pairs.shape[1] != 3 or not len(pairs) or not np.isin(pairs[:, 2], (0, 1)).all():
        raise ValueError(f"{file} is not a list '<template> <template> <label>' with labels 0 and 1.")
    return pairs


def _places(templates: NDArray[np.int64], faces: EmbeddedFaces, file: Path) -> Tensor:
    """Return the positions of templates among embeddings, whose names ascend as numbers."""
    known = np.array([int(name) for name in faces.names], dtype=np.int64)
    places = np.searchsorted(known, templates).clip(max=len(known) - 1)
    wrong = np.flatnonzero(known[places] != templates)
    if len(wrong):
        name = excerpt(str(templates[wrong[0]]))
        raise ValueError(f"{file} names the template {name}, of which no picture is listed.")
    return torch.from_numpy(places)


def _means(vectors: Tensor, group_of: NDArray[np.int64]) -> Tensor:
    """Return the mean of each group of vectors (N, E); groups are numbered from 0."""
    groups = torch.from_numpy(np.asarray(group_of, dtype=np.int64))
    count = int(groups.max()) + 1
    sums = torch.zeros(count, vectors.shape[1], dtype=vectors.dtype).index_add_(0, groups, vectors)
    return sums / torch.bincount(groups, minlength=count)[:, None]
