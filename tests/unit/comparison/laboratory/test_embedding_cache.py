"""Embeddings are kept: nothing is computed twice, nothing is stale, and all equal the direct computation."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rim_lightning.comparison.laboratory import embedding_cache as module
from rim_lightning.comparison.laboratory.embedding_cache import EmbeddingCache
from rim_lightning.comparison.laboratory.readings import Side, embed_part
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.networks.compared.guided import build_guided_recognizer
from rim_lightning.networks.rim import RIM
from rim_lightning.types import FaceBatch, to_unit
from tests.helpers.tiny import BACKBONE, MODEL, perturbed


class Faces:
    def __init__(self, count, seed=0):
        self.images = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
        self.read = 0

    def __getitem__(self, index):
        self.read += 1
        return FaceBatch(self.images[index], {}, None, None, None)


def counting(calls):
    def load():
        def embed(images):
            calls.append(len(images))
            return {"probe": images.flatten(1)[:, :8] + 2}

        return embed

    return load


def test_an_image_is_embedded_once_for_each_side(tmp_path):
    cache, faces, calls = EmbeddingCache(tmp_path), Faces(5), []
    first = cache.embed("system", Side(8), counting(calls), faces, [0, 1, 2], "faces")["probe"]
    again = cache.embed("system", Side(8), counting(calls), faces, [2, 1], "faces")["probe"]
    assert calls == [3]
    assert torch.equal(again, first[[2, 1]])
    assert faces.read == 6  # each for its digest, and to be embedded
    more = cache.embed("system", Side(8), counting(calls), faces, [3, 0, 4], "faces")["probe"]
    assert calls == [3, 2]
    assert torch.equal(more[1], first[0])
    cache.embed("system", Side(8, "area"), counting(calls), faces, [0], "faces")
    cache.embed("another", Side(8), counting(calls), faces, [0], "faces")
    assert calls == [3, 2, 1, 1]


@pytest.mark.parametrize("change", ["rows", "type", "nan", "repeated", "nothing"])
def test_a_file_that_does_not_fit_is_made_again(tmp_path, change):
    cache, faces, calls = EmbeddingCache(tmp_path), Faces(3), []
    first = cache.embed("system", Side(8), counting(calls), faces, [0, 1, 2], "faces")["probe"]
    (file,) = tmp_path.glob("*.npz")
    with np.load(file) as content:
        arrays = dict(content)
    if change == "rows":
        arrays["probe"] = arrays["probe"][:2]
    elif change == "type":
        arrays["probe"] = arrays["probe"].astype(np.float64)
    elif change == "nan":
        arrays["probe"][1, 0] = np.nan
    elif change == "repeated":
        arrays["digests"][1] = arrays["digests"][0]
    else:
        del arrays["probe"]
    np.savez(file, **arrays)
    again = cache.embed("system", Side(8), counting(calls), faces, [0, 1, 2], "faces")["probe"]
    assert calls == [3, 3]
    assert torch.equal(again, first)


def test_equal_pixels_are_one_image_and_others_are_not(tmp_path):
    cache, faces, calls = EmbeddingCache(tmp_path), Faces(3), []
    faces.images[1] = faces.images[0]
    embeddings = cache.embed("system", Side(None), counting(calls), faces, [0, 1, 2], "faces")["probe"]
    assert calls == [2]
    assert torch.equal(embeddings[0], embeddings[1])
    assert not torch.equal(embeddings[0], embeddings[2])
    changed = Faces(3)
    changed.images[1:] = faces.images[1:]
    changed.images[0, 0, 0, 0] += 1  # a changed file: nothing stale is returned
    cache.embed("system", Side(None), counting(calls), changed, [0, 1, 2], "faces")
    assert calls == [2, 1]


def test_an_interruption_keeps_what_was_embedded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVED_EVERY", 2)
    cache, faces, calls = EmbeddingCache(tmp_path), Faces(5), []

    def stopping():
        compute = counting(calls)()

        def run(images):
            if len(calls) == 2:
                raise KeyboardInterrupt
            return compute(images)

        return run

    with pytest.raises(KeyboardInterrupt):
        cache.embed("system", Side(8), stopping, faces, range(5), "faces")
    cache.embed("system", Side(8), counting(calls), faces, range(5), "faces")
    assert calls == [2, 2, 1]


@pytest.mark.parametrize("flip", [False, True])
def test_parts_of_rim_equal_the_direct_way(tmp_path, flip):
    torch.manual_seed(0)
    rim, faces = perturbed(RIM(**MODEL)).eval(), Faces(3)
    hr = to_unit(faces.images)
    probes = synthesize_probe(hr, torch.tensor([8, 8, 8]))
    views = (probes, probes.flip(-1)) if flip else (probes,)

    def unit(embed, images):
        return F.normalize(sum(F.normalize(embed(view), dim=1) for view in images), dim=1)

    def embedded(part):
        return EmbeddingCache(tmp_path, flip).embed(
            part, Side(8), lambda: partial(embed_part, rim, part, None, Side(8)), faces, range(3), ""
        )

    with torch.no_grad():
        torch.testing.assert_close(embedded("probe")["probe"], unit(rim.embed_probe, views))
        student = unit(lambda view: rim.embed_by_student(view), views)
        torch.testing.assert_close(embedded("probe")["student"], student)
        torch.testing.assert_close(embedded("sr")["sr"], unit(lambda view: rim.embed_gallery(rim.fhn(view).sr), views))
        recognizer = build_guided_recognizer(BACKBONE).eval()
        after = EmbeddingCache(tmp_path, flip).embed(
            "after", Side(8), lambda: partial(embed_part, recognizer, "sr", rim, Side(8)), faces, range(3), ""
        )
        torch.testing.assert_close(after["sr"], unit(lambda view: recognizer.learner(rim.fhn(view).sr), views))


def test_a_side_shows_what_it_says():
    hr = to_unit(Faces(4).images)
    assert torch.equal(Side(None).show(hr, [0] * 4), hr)
    torch.testing.assert_close(Side(8).show(hr, [0] * 4), synthesize_probe(hr, torch.tensor([8] * 4)))
    seeds = [5, 6, 7, 8]
    noisy = Side(8, "realistic").show(hr, seeds)
    assert torch.equal(noisy[2:], Side(8, "realistic").show(hr[2:], seeds[2:]))  # whatever batch an image is in
    assert not torch.equal(noisy, Side(8, "realistic").show(hr, [9] * 4))
