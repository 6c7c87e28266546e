"""`rim` without `--model`: the model of the package, which is refused if somebody changed it."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from rim_lightning.inference import default_model
from rim_lightning.inference.card import CARD, CARD_DIGEST
from rim_lightning.inference.card_page import CARD_PAGE, card_page
from rim_lightning.inference.model_folder import WEIGHTS, fingerprint, half_precision
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import Origin
from tests.helpers.pictures import noise_image
from tests.helpers.stores import noise_store
from tests.integration.test_cli import checkpoint, model_folder, rim


@pytest.fixture
def pair(tmp_path):
    """Two aligned faces."""
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(noise_image(12, seed)).save(tmp_path / name)
    return [tmp_path / "a.png", tmp_path / "b.png"]


@pytest.fixture
def people(tmp_path):
    """Options of `rim export` with a prepared set of three people."""
    names = [f"{index}.png" for index in range(6)]
    noise_store(tmp_path / "people_32", names, list("aabbcc"), {"ibug68": 68}, split="val", hr_size=32)
    return ("--people", tmp_path / "people_32", "--no-onnx")


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A model that comes with the package."""
    folder = model_folder(tmp_path / "shipped", threshold=-1.0)
    monkeypatch.setattr(default_model, "SHIPPED", folder)
    return folder


def without_model(pair, tmp_path):
    return [
        ("verify", *pair, "--aligned", "--far", "1e-2"),
        ("hallucinate", pair[1], tmp_path / "face.png", "--aligned"),
        ("info",),
    ]


def search(pair, tmp_path):
    (tmp_path / "gallery").mkdir()
    pair[0].rename(tmp_path / "gallery" / "a.png")
    return [
        ("enroll", "-i", tmp_path / "index", tmp_path / "gallery", "--aligned"),
        ("identify", "-i", tmp_path / "index", pair[1], "--aligned", "--far", "1e-2"),
    ]


@pytest.mark.slow
def test_a_gallery_is_searched_with_the_model_of_the_package(shipped, pair, tmp_path):
    for words in search(pair, tmp_path):
        done = rim(*words)
        assert done.exit_code == 0, done.output


def test_every_command_takes_the_model_of_the_package(shipped, pair, tmp_path):
    for words in without_model(pair, tmp_path):
        done = rim(*words)
        assert done.exit_code == 0, done.output
    assert done.stdout.startswith("the model that comes with the package\n")
    assert rim("info", "--json").stdout == rim("info", shipped, "--json").stdout
    assert Recognizer.from_checkpoint().fingerprint == json.loads((shipped / CARD).read_text())["fingerprint"]


def test_a_package_without_a_model_asks_for_one(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(default_model, "SHIPPED", tmp_path / "nowhere")
    for words in (*without_model(pair, tmp_path), *search(pair, tmp_path)):
        done = rim(*words)
        assert done.exit_code == 2
        missing = "Missing argument 'MODEL'" if words == ("info",) else "Missing option '--model'"
        assert missing in done.stderr
    with pytest.raises(FileNotFoundError, match="comes without a model: give a model folder or a checkpoint"):
        Recognizer.from_checkpoint()


def change(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: change(folder / WEIGHTS), "model.safetensors is damaged: its content is not what was written"),
        (lambda folder: change(folder / CARD), "card.json was changed after rim export wrote it"),
        (lambda folder: (folder / CARD_DIGEST).unlink(), "lacks card.json.sha256: install the package again"),
    ],
)
def test_a_model_of_the_package_that_was_changed_is_refused(shipped, pair, spoil, sentence):
    spoil(shipped)
    done = rim("verify", *pair, "--aligned", "--far", "1e-2")
    assert done.exit_code == 2
    assert done.stderr.startswith("rim: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    with pytest.raises(ValueError, match=sentence):
        Recognizer.from_checkpoint()


def test_half_precision_halves_the_file_and_keeps_the_similarities(people, tmp_path):
    path = checkpoint(tmp_path)
    assert rim("export", path, tmp_path / "full", *people).exit_code == 0
    done = rim("export", path, tmp_path / "half", *people, "--half")
    assert done.exit_code == 0, done.output
    assert "Half precision changes a similarity by" in done.stdout
    weights = load_file(tmp_path / "half" / WEIGHTS)
    assert {str(value.dtype) for value in weights.values() if value.ndim > 1} == {"float16"}
    card = json.loads((tmp_path / "half" / CARD).read_text())
    assert 0 < card["half_precision_change"] <= 1e-3
    assert "- Weights in half precision" in (tmp_path / "half" / CARD_PAGE).read_text()
    model = Recognizer.from_checkpoint(tmp_path / "half")
    assert model.fingerprint == card["fingerprint"] == fingerprint(half_precision(load_rim(path)))
    assert (tmp_path / "half" / WEIGHTS).stat().st_size < 0.7 * (tmp_path / "full" / WEIGHTS).stat().st_size


def test_half_precision_that_changes_much_is_refused(people, tmp_path, monkeypatch):
    path, exported = checkpoint(tmp_path), tmp_path / "exported"
    assert rim("export", path, exported, "--half", *people).exit_code == 0
    assert json.loads((exported / CARD).read_text())["half_precision"] == "all"
    done = rim("export", path, tmp_path / "half", "--half", "--no-onnx")
    assert done.exit_code == 2
    assert "--half is judged by the similarities of people: add --people" in done.stderr
    monkeypatch.setattr("rim_lightning.commands.rim.export.HALF_TOLERANCE", 1e-9)
    done = rim("export", path, tmp_path / "half", "--half", *people)
    assert done.exit_code == 2
    assert "more than 1e-09: leave --half out" in done.stderr
    assert not (tmp_path / "half").exists()


def test_half_precision_is_left_to_the_part_that_stands_it(people, tmp_path, monkeypatch):
    """The paths of the priors stay: a small change of theirs can move a landmark, and with it the face, far."""
    path, exported = checkpoint(tmp_path), tmp_path / "exported"
    assert rim("export", path, exported, "--half", *people).exit_code == 0
    whole = json.loads((exported / CARD).read_text())["half_precision_change"]
    monkeypatch.setattr("rim_lightning.commands.rim.export.HALF_TOLERANCE", 0.9999 * whole)
    done = rim("export", path, tmp_path / "part", "--half", *people)
    assert done.exit_code == 0, done.output
    assert "Only the coarse network and the integrator are in half precision" in done.stdout
    weights = load_file(tmp_path / "part" / WEIGHTS)
    kinds = {
        (".".join(name.split(".")[: 2 if name.startswith("fhn.") else 1]), str(value.dtype))
        for name, value in weights.items()
        if value.ndim > 1 and value.any()
    }
    halves = {("fhn.coarse", "float16"), ("fhn.integrator", "float16")}
    assert kinds == halves | {("fhn.generator", "float32"), ("hrn", "float32")}
    card = json.loads((tmp_path / "part" / CARD).read_text())
    assert card["half_precision"] == "stacks"
    assert 0 < card["half_precision_change"] < whole
    assert "- Weights of the coarse network and the integrator in half" in (tmp_path / "part" / CARD_PAGE).read_text()


def test_the_card_says_where_the_weights_come_from(people, tmp_path):
    path = checkpoint(tmp_path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"training": {"code": "0123abc", "faces": 4096}}, path)
    before = tmp_path / "before" / "checkpoints" / "last.ckpt"
    before.parent.mkdir(parents=True)
    torch.save(content | {"training": {"code": "0123abc", "faces": 512}}, before)
    Origin(["experiment=fhn", "workers=3"], "0.1", 1, {"helen": "0"}, {}).write(RunFolder(before.parent.parent))
    overrides = ["experiment=rim_128", "seed=2", f"start_from={before}", f"paths.data_dir={tmp_path}"]
    Origin(overrides, "0.1", 1, {"helen": "0", "celeba": "1"}, {}).write(RunFolder(path.parent.parent))
    (tmp_path / "mit.txt").write_text("MIT License")
    names = [f"{index}.png" for index in range(4)]
    noise_store(tmp_path / "more_32", names, list("aabb"), {"ibug68": 68}, split="val", hr_size=32)
    more = ("--people", tmp_path / "more_32", "--terms", "Research use.", "--notice", tmp_path / "mit.txt")
    done = rim("export", path, tmp_path / "model", *people, *more)
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / "model" / CARD).read_text())
    assert card["training"] == {
        "command": "rim-train experiment=rim_128 seed=2 start_from=before/checkpoints/last.ckpt",
        "sets": ["celeba", "helen"],
        "faces": 4096,
        "code": "0123abc",
        "started_from": [{"command": "rim-train experiment=fhn", "sets": ["helen"], "faces": 512, "code": "0123abc"}],
    }
    assert "from networks of `rim-train experiment=fhn`: 512 faces" in card_page(card)
    assert (tmp_path / "model" / "NOTICE").read_text() == "MIT License"
    assert (tmp_path / "model" / CARD_PAGE).read_text() == card_page(card)
    chosen = card["calibration"]
    assert (chosen["faces"], chosen["people"]) == ("people_32 and more_32, val", 5)  # "a" of two sets are two people
    assert (chosen["genuine"], chosen["impostors"]) == (10, 80)
    assert "Research use." in rim("info", tmp_path / "model").stdout


DOCS = Path(__file__).parents[2] / "docs"
FIGURE = re.compile(r"(?<![\d.])\.\d{3}(?!\d)|\d\d\.\d\d(?= dB)")


def unknown_figures(page, known):
    """Accuracies, SSIM and PSNR of a card that the documentation does not have."""
    measured = page.partition("## Verification")[2].partition("## Limits")[0]
    return set(FIGURE.findall(measured)) - set(FIGURE.findall(known))


def test_the_figures_of_a_shipped_card_are_those_of_the_results():
    pages = [DOCS / "results.md", *(DOCS / "tables").glob("*.md")]
    known = "".join(page.read_text() for page in pages)
    for card in default_model.SHIPPED.parent.glob(f"*/{CARD_PAGE}"):
        assert not unknown_figures(card.read_text(), known)
    made_up = "## Verification\n| lfw | 16 px | .846 | .123 |\n| 26.73 dB | 99.99 dB |\n## Limits\n.456"
    assert unknown_figures(made_up, "| .846 | 26.73 dB |") == {".123", "99.99"}
    card = json.loads(read) if (read := _shipped_card()) else {"files": {}}
    assert sum((default_model.SHIPPED / name).stat().st_size for name in card["files"]) <= 25e6


def test_the_error_rates_of_the_shipped_card_stand_in_the_results():
    page = (default_model.SHIPPED / CARD_PAGE).read_text()
    assert page == card_page(json.loads(_shipped_card()))
    rates = [line for line in page.splitlines() if re.match(r"\| \d+ px \|", line)]
    assert len(rates) == len(json.loads(_shipped_card())["calibration"]["sizes"])
    results = (DOCS / "results.md").read_text()
    assert [line for line in rates if line not in results] == []


def _shipped_card():
    file = default_model.SHIPPED / CARD
    return file.read_text() if file.is_file() else ""
