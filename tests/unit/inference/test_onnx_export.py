"""ONNX files hold everything from the pixels of an aligned face to its embedding, and give what torch gives."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from rim_lightning.data.alignment import template
from rim_lightning.functional import realignment
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference.model_folder import fingerprint, write_model
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage
from rim_lightning.types import to_unit
from tests.helpers.tiny import MODEL, perturbed

SIZES = torch.tensor([6.0, 8.0, 12.4, 21.0, 32.0, 90.0])
MIXED = Usage(flip=True, shift=0.04, mixture=SizeCurve((8.0, 16.0, 24.0), (1.0, 0.75, 0.0)))
READS_SIZES = {"student_sees": "both", "assistant_sees": "sr_and_priors", "realign": True, "size_input": True}


def network(**changes):
    torch.manual_seed(0)
    arguments = MODEL | {part: MODEL[part] | values for part, values in changes.items()}
    return perturbed(RIM(**arguments)).eval()


def pixels(count):
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def as_trained(faces, sizes):
    """Each face on the grid of its size and enlarged, one at a time."""
    whole = to_unit(faces.permute(0, 3, 1, 2))
    grids = [min(round(size), 32) for size in sizes.tolist()]
    return torch.cat([enlarge(reduce(face[None], grid), 32) for face, grid in zip(whole, grids, strict=True)])


def session(folder, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    rim, folder = network(), tmp_path_factory.mktemp("models") / "plain"
    write_model(folder, rim, None, {})
    return rim, folder, Usage()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    rim, folder = network(hallucination={"size_input": True}, recognition=READS_SIZES), tmp_path_factory.mktemp("mixed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(realignment, "LARGEST_MOVE", (9.0,) * 4)  # landmarks of random weights lie anywhere
        write_model(folder / "mixed", rim, None, {}, usage=MIXED)
    return rim, folder / "mixed", MIXED


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plain", "mixed"])
@pytest.mark.parametrize("count", [1, 6])
def test_embedders_give_what_torch_gives(request, monkeypatch, model, count):
    rim, folder, usage = request.getfixturevalue(model)
    monkeypatch.setattr(realignment, "LARGEST_MOVE", (9.0,) * 4)
    faces, sizes, embedder = pixels(count), SIZES[-count:], FaceEmbedder(rim, usage)
    seen = as_trained(faces, sizes)
    for name, embed in (("probe", partial(embedder.probe, sizes=sizes)), ("gallery", embedder.gallery)):
        (result,) = session(folder, f"{name}_embedder").run(None, {"face": faces.numpy(), "size": sizes.numpy()})
        np.testing.assert_allclose(result, embed(seen).numpy(), atol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plain", "mixed"])
def test_the_super_resolver_gives_what_torch_gives(request, model):
    rim, folder, _ = request.getfixturevalue(model)
    faces = pixels(len(SIZES))
    with torch.no_grad():
        output = rim.fhn(as_trained(faces, SIZES), SIZES)
    expected = {
        "coarse": output.coarse,
        "sr": output.sr,
        "heatmaps_ibug68": output.priors.evidence()["ibug68"],
        "parsing": output.priors.parsing_logits,
    }
    file = session(folder, "super_resolver")
    results = file.run(None, {"face": faces.numpy(), "size": SIZES.numpy()})
    names = [entry.name for entry in file.get_outputs()]
    assert names == list(expected)
    for name, result in zip(names, results, strict=True):
        np.testing.assert_allclose(result, expected[name].numpy(), atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_a_file_says_what_it_needs(mixed):
    rim, folder, usage = mixed
    for name in ("super_resolver", "probe_embedder", "gallery_embedder"):
        told = session(folder, name).get_modelmeta().custom_metadata_map
        of_gallery, of_probes = fingerprint(rim, usage), fingerprint(rim, usage, of_probes=True)
        assert told["rim_fingerprint_gallery"] == of_gallery != of_probes == told["rim_fingerprint_probe"]
        assert told["rim_side"] == "32"
        np.testing.assert_allclose(json.loads(told["rim_template"]), template(32), atol=1e-4)
        assert Usage.from_plain(json.loads(told["rim_usage"])) == usage
        assert "uint8 RGB" in told["rim_inputs"]
