"""Do files of somebody else end in an answer or in one sentence? Damages valid files and reads them as commands do.

    python benchmarks/hostile_files.py --count 600

Every row of the table is one kind of file. JSON: a value is replaced by NaN, infinity, huge and negative numbers, other
types or 100,000 lists within each other; an entry is taken away or added. Bytes: cut off, turned, inserted. Digests
beside a file are made anew, as somebody would who wants it to be read. The files are read in processes that may take
`--memory` more than a reader of the valid file takes.

    sentence   refused in one sentence, which names the file
    unnamed    one sentence that names no file: the file was read, and answers less than the valid one
    same       accepted, and the answer is that of the valid file
    harmless   accepted with another answer, of finite numbers in their ranges
    wrong      accepted with NaN, infinity or a threshold beyond every similarity
    trace      any other exception, or a sentence on several lines
    memory     more memory was asked for than allowed, or the process died
    hang       no end within `--seconds`
"""

import argparse
import copy
import hashlib
import io
import json
import math
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

OUTCOMES = ("sentence", "unnamed", "same", "harmless", "wrong", "trace", "memory", "hang")
BAD = ("wrong", "trace", "memory", "hang")
RAW = ("1e999", "-1e999", "9" * 5000, "9" * 30, "[" * 100_000 + "]" * 100_000, '{"a":' * 500 + "1" + "}" * 500)
VALUES = (math.nan, math.inf, -math.inf, -1, 0, 1, 0.5, 2, 10**7, -(10**7), 2**62, 1e308, 1e-308, True, None)
VALUES += ("", "1", "../../../etc/passwd", "\ud800", "\x1b[2J\n", "a" * 10**5, [], {}, [1], {"a": 1}, [[]] * 1000)
REMOVED, ADDED = object(), object()
BYTES_SHARE = 0.15
BACKBONE = {"name": "mobilefacenet", "width": 8, "blocks": [1, 1, 1], "embedding_size": 16, "input_size": 32}
MODEL = {
    "hr_size": 32,
    "lr_size": 8,
    "schemes": {"ibug68": 68},
    "hallucination": {
        "coarse": {"reduction": 4, "pool": 2, "widths": [8, 8, 8], "blocks": [1, 1, 0], "factors": [2, 2]},
        "generator": {"global_width": 8, "prior_width": 8, "blocks": 1, "prior_blocks": 1, "hourglass": 1},
        "integrator": {"widths": [8, 8, 8], "blocks": [1, 0, 0], "factors": [2, 2]},
    },
    "discriminator": {"width": 8, "embedding_size": 8},
    "recognition": {"teacher": BACKBONE, "student": BACKBONE, "assistant": BACKBONE},
}


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        make: Writes valid files into a folder.
        damage: Damages them in place: (folder, generator, number of the case).
        read: Reads them, and returns an answer.
    """

    make: Callable[[Path], None]
    damage: Callable[[Path, random.Random, int], None]
    read: Callable[[Path], Any]


# ---- damage ---------------------------------------------------------------------------------------------------------


def places(content: Any, place: tuple = ()) -> Iterator[tuple]:
    """Yield the places of all values, containers too."""
    if place:
        yield place
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        yield from places(value, (*place, key))


def damaged_json(content: Any, generator: random.Random) -> str:
    """Return JSON in which one value is another one, or one entry is missing or too many."""
    content = copy.deepcopy(content)
    if isinstance(content, dict) and generator.random() < 0.5:  # lists of many numbers are one entry of many
        place = (generator.choice(list(content)),)
        inner = list(places(content[place[0]], place))
        place = generator.choice([place, *inner])
    else:
        place = generator.choice(list(places(content)))
    value = generator.choice([*VALUES, *RAW, REMOVED, ADDED])
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    if value is REMOVED:
        del parent[place[-1]]
    elif value is ADDED:
        parent.update(unheard_of=1) if isinstance(parent, dict) else parent.append(parent[-1])
    else:
        parent[place[-1]] = "@RAW@" if value in RAW else value
    text = json.dumps(content)
    return text.replace('"@RAW@"', value) if value in RAW else text


def damaged_bytes(content: bytes, generator: random.Random) -> bytes:
    """Return bytes that are cut off, turned, inserted or taken away."""
    way, position = generator.randrange(5), generator.randrange(len(content) or 1)
    if way == 0:
        return content[:position]
    if way == 1:
        return content[:position] + generator.randbytes(generator.choice((1, 4, 64))) + content[position:]
    if way == 2:
        return content[:position] + content[position + generator.choice((1, 4, 64)) :]
    turned = bytearray(content)
    for at in range(position, min(position + (1 if way == 3 else 8), len(content))):
        turned[at] = generator.randrange(256)
    return bytes(turned)


def damage_json_file(file: Path, generator: random.Random) -> None:
    if generator.random() < BYTES_SHARE:
        file.write_bytes(damaged_bytes(file.read_bytes(), generator))
    else:
        file.write_text(damaged_json(json.loads(file.read_text()), generator))


def seal_card(folder: Path) -> None:
    digest = hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()
    (folder / "card.json.sha256").write_text(digest + "\n")


def seal_record(folder: Path) -> None:
    digest = hashlib.sha256((folder / "record.json").read_bytes()).hexdigest()
    (folder / "record.json.sha256").write_text(f"{digest}  record.json\n")


def one_of(*names: str) -> Callable[[Path, random.Random, int], None]:
    """Damage one of some JSON files."""

    def damage(folder: Path, generator: random.Random, number: int) -> None:
        damage_json_file(folder / names[number % len(names)], generator)

    return damage


# ---- models ---------------------------------------------------------------------------------------------------------


def make_model(folder: Path) -> None:
    import numpy as np
    import torch

    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.inference.model_folder import write_model
    from rim_lightning.inference.search_calibration import SearchCalibration
    from rim_lightning.networks.rim import RIM
    from rim_lightning.networks.usage import SizeCurve, Usage

    torch.manual_seed(0)
    thresholds = np.linspace(-0.2, 0.9, 2)[None, None, None].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    about = ("faces, val", "0" * 64, 34, 500, 5000)
    ranges = ((1, 2), (8, 16), (1e-2, 1e-3))
    searches = SearchCalibration(
        (8, 16), (1, 30), (0.1,), np.broadcast_to([0.4, 0.5, 0.02, 0.2, 0.3, 0.7], (2, 2, 1, 6))
    )
    calibration = Calibration(
        *(*about, *ranges, thresholds, np.abs(thresholds), False),
        intervals=np.broadcast_to([0.001, 0.02, 0.2, 0.9], (2, 2, 2, 2, 4)),
        ratios=np.broadcast_to([-1.0, 4.0, 1.5, 0.7, 0.6], (2, 2, 2, 5)),
        not_acquired=(0.3, 0.1),
        searches=searches,
    )
    usage = Usage(flip=True, mixture=SizeCurve((7.0, 16.0), (1.0, 0.5)), reduced_gallery=SizeCurve((8.0,), (0.5,)))
    training = {"command": "rim-train", "sets": ["faces"], "faces": 100, "code": "abc"}
    about = {"metrics": {"val/psnr": 20.5}, "training": training, "terms": "research use"}
    write_model(folder / "model", RIM(**MODEL), calibration, about, False, "license", usage, calibration)


def damage_card(folder: Path, generator: random.Random, number: int) -> None:
    damage_json_file(folder / "model" / "card.json", generator)
    seal_card(folder / "model")


def damage_weights(folder: Path, generator: random.Random, number: int) -> None:
    """Damage the weights or their header, and make digests anew."""
    file = folder / "model" / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    way = number % 3
    if way == 0:  # what the header claims
        header = damaged_json(json.loads(content[8 : 8 + length]), generator).encode()
        content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    elif way == 1:
        content = damaged_bytes(content, generator)
    else:  # the numbers themselves
        from safetensors.torch import load, save

        weights = load(content)
        names = sorted(key for key in weights if weights[key].is_floating_point())
        spoil_numbers(weights[generator.choice(names)], generator)
        content = save(weights)
    file.write_bytes(content)
    card = json.loads((folder / "model" / "card.json").read_text())
    card["files"]["model.safetensors"] = hashlib.sha256(content).hexdigest()
    (folder / "model" / "card.json").write_text(json.dumps(card))
    seal_card(folder / "model")


def spoil_numbers(weight: Any, generator: random.Random) -> None:
    import torch

    largest = torch.finfo(weight.dtype).max
    value = generator.choice((math.nan, math.inf, -math.inf, largest, -largest, 0.0))
    flat = weight.view(-1)
    flat[generator.randrange(len(flat)) :] = value


def read_model_folder(folder: Path) -> Any:
    import torch

    from rim_lightning.commands.rim.info import _card_lines
    from rim_lightning.inference.card import read_card
    from rim_lightning.inference.card_page import card_page
    from rim_lightning.inference.recognizer import Recognizer

    card = read_card(folder / "model")
    recognizer = Recognizer.from_checkpoint(folder / "model")
    said = [*_card_lines(card), card_page(card)]
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answers = [
        recognizer.verify(pictures[0], pictures[1:], far, True, size)
        for far in (1e-2, 1e-3)
        for size in (8.0, 12.0, 18.0)
    ]
    search = recognizer.required_calibration().search_point(12.0, 10, 0.1)
    plain = [(*answer[:5], *answer.chosen_on, *answer[11:], answer.in_words()) for answer in answers]
    for answer in answers:
        rates = [answer.frr, *(answer.far_interval or ()), *(answer.frr_interval or ()), answer.not_acquired or 0]
        ratio = 0.0 if answer.ratio is None else answer.ratio.log10
        if not (abs(answer.similarity) <= 1.01 and abs(answer.threshold) <= 1.01 and all(0 <= x <= 1 for x in rates)):
            return math.nan
        if not (abs(ratio) <= 9 and abs(search.threshold) <= 1.01 and 0 <= search.fnir <= 1):
            return math.nan
    return [plain, said[:3], search, search.in_words()]


def make_record(folder: Path) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from rim_lightning.commands.rim.main import main
    from rim_lightning.data.synthetic.store import paint_face

    make_model(folder)
    for name, view in (("probe.png", 1), ("sharp.png", 2)):
        Image.fromarray(paint_face(7, view, 96, 16)[0]).save(folder / name)
    model, probe, sharp, cases = (str(folder / name) for name in ("model", "probe.png", "sharp.png", "cases"))
    words = ["verify", "-m", model, probe, sharp, "--size", "12", "--far", "0.01", "--record", cases]
    done = CliRunner().invoke(main, words)
    assert done.exit_code in (0, 1), done.output
    (record,) = (folder / "cases").iterdir()
    record.rename(folder / "record")


def damage_record(folder: Path, generator: random.Random, number: int) -> None:
    damage_json_file(folder / "record" / "record.json", generator)
    seal_record(folder / "record")


def read_case_record(folder: Path) -> Any:
    from rim_lightning.case.record_folder import check_unaltered, read_record
    from rim_lightning.case.report_content import report_of
    from rim_lightning.case.report_html import html_of
    from rim_lightning.commands.rim.replay import compare

    record = read_record(folder / "record")
    check_unaltered(folder / "record", record)
    page = html_of(report_of(folder / "record", record))
    differing = compare(folder / "record", record, folder / "model", None)
    if b"<td>nan" in page or b"<td>inf" in page:
        return math.nan
    return [len(page), *map(repr, differing)]


def make_checkpoint(folder: Path) -> None:
    import torch

    from rim_lightning.networks.rim import RIM

    torch.manual_seed(0)
    rim = RIM(**MODEL)
    weights = {f"rim.{name}": value for name, value in rim.state_dict().items()}
    content = {"architecture": "rim", "model_arguments": MODEL, "state_dict": weights, "training": {"faces": 3}}
    torch.save(content, folder / "last.ckpt")


def damage_checkpoint(folder: Path, generator: random.Random, number: int) -> None:
    damage_torch(folder / "last.ckpt", ("model_arguments",), generator, number)


def damage_torch(file: Path, arguments: tuple[str, ...], generator: random.Random, number: int) -> None:
    """Damage a file of torch.save: arguments, numbers, pickle, archive, or all of its bytes."""
    import torch

    content = torch.load(file, weights_only=True)
    weights = content.get("state_dict", content)
    way = number % 6
    if way in (0, 1) and arguments:
        while True:
            try:  # what JSON can hold and torch.save cannot is left out
                damaged = json.loads(damaged_json(content[arguments[0]], generator))
                torch.save(content | {arguments[0]: damaged}, file)
                break
            except (ValueError, RecursionError):
                continue
    elif way == 2:
        spoil_numbers(
            weights[generator.choice([key for key in weights if weights[key].is_floating_point()])], generator
        )
        torch.save(content, file)
    elif way == 3:
        damage_archive(file, generator)
    elif way == 4:
        torch.save(content | {"hostile": hostile_object(generator)}, file)
        if generator.random() < 0.5:
            torch.save(content, file, _use_new_zipfile_serialization=False)
            file.write_bytes(with_other_sizes(file.read_bytes(), generator))
    else:
        file.write_bytes(damaged_bytes(file.read_bytes(), generator))


def damage_archive(file: Path, generator: random.Random) -> None:
    """Write the archive anew: with sizes that are not there, compressed, or with other bytes in the pickle."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    way = generator.randrange(3)
    compression = zipfile.ZIP_DEFLATED if way == 0 else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, part in parts.items():
            if way == 0 and "/data/" in name:
                part = bytes(2**28) if generator.random() < 0.02 else part
            elif name.endswith("data.pkl"):
                part = with_other_sizes(part, generator) if way == 1 else damaged_bytes(part, generator)
            archive.writestr(name, part)


def with_other_sizes(pickled: bytes, generator: random.Random) -> bytes:
    """Replace small integers of a pickle by others: shapes, strides and numbers of a storage."""
    content = bytearray(pickled)
    for position in generator.sample(range(len(content) - 5), min(len(content) - 5, 2000)):
        if content[position : position + 1] == b"K":  # BININT1
            content[position + 1] = generator.randrange(256)
        elif content[position : position + 1] == b"M":  # BININT2
            content[position + 1 : position + 3] = generator.randbytes(2)
        elif content[position : position + 1] == b"J":  # BININT
            content[position + 1 : position + 5] = generator.choice((b"\xff\xff\xff\x7f", generator.randbytes(4)))
    return bytes(content)


def hostile_object(generator: random.Random) -> Any:
    """Return an object that a file should not hold: itself in itself, a tensor that repeats a number, many entries."""
    import torch

    one: Any = {}
    for _ in range(60):
        one = {"a": one, "b": one}
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    return generator.choice((one, deep, torch.zeros(1).expand(2**33), bytearray(10), {1.5: None, None: 2}))


def read_checkpoint(folder: Path) -> Any:
    import torch

    from rim_lightning.networks.checkpoints import load_rim, training_record

    faces = training_record(folder / "last.ckpt").get("faces")
    rim = load_rim(folder / "last.ckpt")
    return [faces, embedded(rim, torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))]


def embedded(rim: Any, faces: Any) -> Any:
    """Return what a recognizer embeds of faces; NaN if it answers with NaN."""
    from rim_lightning.inference.recognizer import Recognizer

    embedding = Recognizer(rim).embed_probes(list(faces), aligned=True)
    return embedding.tolist() if embedding.isfinite().all() else math.nan


def make_teacher(folder: Path) -> None:
    import torch

    from rim_lightning.networks.backbones.build import build_backbone
    from rim_lightning.networks.backbones.iresnet import IResNet
    from rim_lightning.networks.published.iresnet import arcface_torch_names
    from rim_lightning.networks.teacher_weights import save_backbone

    torch.manual_seed(0)
    arguments = {key: value for key, value in BACKBONE.items() if key != "name"}
    save_backbone(folder / "rim_lightning.pt", build_backbone(**BACKBONE), "mobilefacenet", arguments)
    model = IResNet(4, (1, 1, 1, 1), 8, 32)
    names = arcface_torch_names((1, 1, 1, 1))
    state = {names[name]: value for name, value in model.state_dict().items() if name in names}
    torch.save(state | {"fc.bias": torch.zeros(8)}, folder / "arcface_torch.pt")


def damage_teacher(folder: Path, generator: random.Random, number: int) -> None:
    name, arguments = (("rim_lightning", ("arguments",)), ("arcface_torch", ()))[number % 2]
    damage_torch(folder / f"{name}.pt", arguments, generator, number // 2)


def read_teacher(folder: Path) -> Any:
    import torch

    from rim_lightning.networks.teacher_weights import load_teacher

    faces = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answers = []
    for weight_format in ("rim_lightning", "arcface_torch"):
        backbone = load_teacher(weight_format, folder / f"{weight_format}.pt")
        if not all(value.isfinite().all() for value in backbone.state_dict().values()):
            return math.nan
        answers.append([backbone.input_size, backbone(faces).tolist() if backbone.input_size == 32 else 0])
    return answers


# ---- sets of faces --------------------------------------------------------------------------------------------------


def toy_writer(path: Path) -> Any:
    from rim_lightning.data.stores.writer import StoreWriter

    header = {"name": "toy", "hr_size": 8, "margin": 0.0, "stored_size": 8, "alignment": "five", "landmarks": "auto"}
    names = [f"{number}.png" for number in range(4)]
    return StoreWriter(path, header, names, ["a", "a", "b", None], ["train"] * 3 + ["val"], ["five"], True)


def write_samples(writer: Any) -> None:
    import numpy as np

    from rim_lightning.data.stores.writer import Sample

    for number in range(3):
        image = np.full((8, 8, 3), number, np.uint8)
        points = {"five": np.ones((5, 2), np.float32)}
        writer.write(number, Sample(image, points, image[..., 0], "0" * 64, faces=number, turned=90 * number))
    writer.skip(3, "it is too small")


def make_store(folder: Path) -> None:
    from rim_lightning.data.stores.packed import pack

    writer = toy_writer(folder / "store")
    write_samples(writer)
    pack(writer.finish(), folder / "packed", progress=False)


def damage_store(folder: Path, generator: random.Random, number: int) -> None:
    store = folder / ("store" if number % 3 else "packed")
    if number % 4:
        return damage_json_file(store / "manifest.json", generator)
    file = generator.choice(sorted(store.glob("*.npy")) + sorted(store.glob("*.arrow")))
    file.write_bytes(damaged_bytes(file.read_bytes(), generator))
    return None


def read_store(folder: Path) -> Any:
    from rim_lightning.data.stores.packed import open_store
    from rim_lightning.evaluation.run import _alignment

    answers = []
    for name in ("store", "packed"):
        store = open_store(folder / name)
        faces = [store.images[int(position)].tolist() for position in store.select("train")]
        answers.append([len(store), store.names, store.identity.tolist(), faces, _alignment(folder / name)])
    return answers


def make_journal(folder: Path) -> None:
    writer = toy_writer(folder / "store")
    write_samples(writer)
    writer.close()


def damage_journal(folder: Path, generator: random.Random, number: int) -> None:
    file = folder / "store.partial" / "journal.jsonl"
    lines = file.read_text().splitlines()
    chosen = generator.randrange(len(lines))
    if number % 5:
        lines[chosen] = damaged_json(json.loads(lines[chosen]), generator)
        file.write_text("\n".join(lines) + "\n")
    else:
        file.write_bytes(damaged_bytes(file.read_bytes(), generator))


def read_journal(folder: Path) -> Any:
    writer = toy_writer(folder / "store")
    write_samples(writer)
    store = writer.finish()
    return [store.names, [image.tolist() for image in store.images]]


# ---- runs, sweeps and embeddings ------------------------------------------------------------------------------------


def make_sweep(folder: Path) -> None:
    launcher = {"_target_": "rim_lightning.runs.local.run_locally", "parallel": 2}
    jobs = [{"index": number, "overrides": [f"seed={number}", "experiment=demo"]} for number in range(3)]
    command = [sys.executable, "-m", "rim_lightning.commands.train"]
    state = {"attempts": 1, "started": "2026-01-01T00:00:00+00:00", "pid": 1, "host": "somewhere", "name": "failed"}
    content = {"format": 2, "command": command, "launcher": launcher, "jobs": jobs}
    write(folder / "sweep.json", content)
    origin = {"overrides": ["seed=1"], "version": "0.1.0", "processes": 1, "stores": {"a": "0"}, "files": {"b": "1"}}
    for number in range(3):
        job = folder / str(number)
        job.mkdir()
        write(job / "state.json", state | {"message": "ValueError: no", "seconds": 2.5, "ended": state["started"]})
        write(job / "metrics.json", {"val/psnr_gain": 1.5, "loss": number})
        write(job / "origin.json", origin)


def write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content))


def read_sweep_folder(folder: Path) -> Any:
    from rim_lightning.runs.folder import RunFolder
    from rim_lightning.runs.incomplete import Incomplete
    from rim_lightning.runs.origin import read_origin
    from rim_lightning.runs.provenance import provenance
    from rim_lightning.runs.state import read_attempts
    from rim_lightning.runs.sweep import read_sweep
    from rim_lightning.runs.sweep_table import in_columns, table_rows

    sweep = read_sweep(folder)
    sweep.check_runnable()
    sweep.check_launcher()
    shown = in_columns(table_rows(sweep))
    try:
        sweep.check_finished()
    except Incomplete as error:
        shown += str(error)
    commands = [(sweep.command_of(job), sweep.environment_of(job)) for job in sweep.jobs]
    origin = read_origin(RunFolder(folder / "0"))
    origin.check(origin, RunFolder(folder / "0"))
    provenance(folder / "0")
    for job in sweep.jobs:
        if not all(math.isfinite(value) for value in job.figures.values()):
            return math.nan
    return [shown, commands, origin, read_attempts(folder / "0")]


def make_embedded(folder: Path) -> None:
    import numpy as np

    from rim_lightning.gallery.embedded_folder import EmbeddedFolder, EmbeddedRow, Manifest

    about = {"model": "0" * 16, "embedding_size": 4, "hr_size": 32, "side": "gallery", "aligned": True}
    about |= {"precision": "32-true", "pictures": "/pictures", "count": 3, "names": "0" * 64, "shard": 2}
    embedded_folder = EmbeddedFolder.begin(folder / "embedded", Manifest(**about, detector="yunet"))
    for number, count in enumerate((2, 1)):
        rows = [EmbeddedRow(f"{i}.png", "a", "0" * 64, 20.0, 1, None, 0) for i in range(count)]
        embedded_folder.write(number, rows, np.full((count, 4), 0.5, np.float32))


def damage_embedded(folder: Path, generator: random.Random, number: int) -> None:
    file = folder / "embedded" / "_embedding.json"
    if number % 3:
        return damage_json_file(file, generator)
    file = folder / "embedded" / f"embeddings_{number % 2:06d}.parquet"
    file.write_bytes(damaged_bytes(file.read_bytes(), generator))
    return None


def read_embedded(folder: Path) -> Any:
    from rim_lightning.gallery.embedded_folder import EmbeddedFolder

    embedded_folder = EmbeddedFolder(folder / "embedded")
    missing = embedded_folder.missing()
    tables = [embedded_folder.read(number).to_pylist() for number in embedded_folder.shards]
    return [missing, embedded_folder.left_out(), embedded_folder.notes(), tables]


def make_gallery(folder: Path) -> None:
    import torch

    from rim_lightning.gallery.index import Enrolled, Gallery, Template

    gallery = Gallery(folder / "gallery", "0" * 16, 4, create=True)
    vectors = torch.eye(4)
    gallery.add([Template(Enrolled(f"person {i}", f"{i}.png", "0" * 64), vectors[i]) for i in range(4)])


def damage_gallery(folder: Path, generator: random.Random, number: int) -> None:
    home = folder / "gallery"
    if number % 2:
        return damage_json_file(home / "durable.json", generator)
    file = generator.choice(sorted(file for file in home.rglob("*") if file.is_file() and file.name != ".lock"))
    file.write_bytes(damaged_bytes(file.read_bytes(), generator))
    return None


def read_gallery(folder: Path) -> Any:
    import torch

    from rim_lightning.gallery.index import Gallery

    gallery = Gallery(folder / "gallery", "0" * 16, 4)
    hits = gallery.search(torch.eye(4)[:2], 3)
    if not all(abs(hit.similarity) <= 1.01 for found in hits for hit in found):
        return math.nan
    return [gallery.people(), gallery.enrolled(), hits]


def make_speed(folder: Path) -> None:
    row = {"label": "seed=1", "overrides": ["seed=1"], "steps": 3, "epochs": 2, "series": "seed", "x": ["seed", 1.0]}
    write(folder / "speed.json", [row | {"pairs_per_s": 12.5, "speedup": 1.0}] * 2)
    write(folder / "results.json", {"format": 2})
    (folder / "runs").mkdir()


def read_speed(folder: Path) -> Any:
    from rim_lightning.comparison.plan.results import check_results
    from rim_lightning.speed.rows import _measured_rows

    check_results(folder)
    entries = _measured_rows(folder / "speed.json", {"steps": 3, "epochs": 2})
    return [[entry["overrides"], entry.get("pairs_per_s")] for entry in entries.values()]


SWEEP_FILES = ("sweep.json", "0/state.json", "0/metrics.json", "0/origin.json")
KINDS = {
    "cards": Kind(make_model, damage_card, read_model_folder),
    "weights of model folders": Kind(make_model, damage_weights, read_model_folder),
    "checkpoints": Kind(make_checkpoint, damage_checkpoint, read_checkpoint),
    "teachers": Kind(make_teacher, damage_teacher, read_teacher),
    "prepared and packed sets": Kind(make_store, damage_store, read_store),
    "journals of sets": Kind(make_journal, damage_journal, read_journal),
    "sweeps and their runs": Kind(make_sweep, one_of(*SWEEP_FILES), read_sweep_folder),
    "embedded folders": Kind(make_embedded, damage_embedded, read_embedded),
    "galleries": Kind(make_gallery, damage_gallery, read_gallery),
    "records of answers": Kind(make_record, damage_record, read_case_record),
    "records of rim-speed and rim-compare": Kind(make_speed, one_of("speed.json", "results.json"), read_speed),
}


# ---- the process that reads -----------------------------------------------------------------------------------------


def has_nan(answer: Any) -> bool:
    return isinstance(answer, float) and math.isnan(answer)


def outcome_of(kind: Kind, folder: Path, right: str) -> tuple[str, str]:
    """Read damaged files; return the outcome and what was said."""
    from rim_lightning.commands.errors import Hints, ending_of

    try:
        answer = kind.read(folder)
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or "allocate memory" in text or "bad_alloc" in text:
            return "memory", text
        ending = ending_of(error, Hints())
        if ending is None or "\n" in ending.sentence:
            return "trace", text
        return ("sentence" if str(folder) in ending.sentence else "unnamed"), ending.sentence
    if has_nan(answer) or (isinstance(answer, list) and any(map(has_nan, answer))):
        return "wrong", "accepted"
    return ("same" if repr(answer) == right else "harmless"), "accepted"


def read_in_process(name: str, first: int, last: int, options: argparse.Namespace) -> None:
    """Damage and read files of one kind, and write a line for each to the pipe."""
    warnings.simplefilter("ignore")
    sys.stdout = io.StringIO()  # what readers print is not looked at
    kind, valid = KINDS[name], Path(tempfile.mkdtemp(prefix="hostile_"))
    work = valid / "work"
    try:
        kind.make(valid)
        right = repr(kind.read(copied(valid, work)))
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + options.memory * 2**20, resource.RLIM_INFINITY))
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with os.fdopen(options.pipe, "w") as pipe:
            for number in range(first, last):
                kind.damage(copied(valid, work), random.Random(f"{options.seed} {name} {number}"), number)
                print(json.dumps({"begun": number}), file=pipe, flush=True)
                outcome, said = outcome_of(kind, work, right)
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
                print(
                    json.dumps([number, outcome, said.replace(str(work), "")[:300], grown // 1024]),
                    file=pipe,
                    flush=True,
                )
    finally:
        shutil.rmtree(valid, ignore_errors=True)


def copied(valid: Path, work: Path) -> Path:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(valid, work, ignore=shutil.ignore_patterns("work"))
    return work


# ---- the process that counts ----------------------------------------------------------------------------------------


def count_outcomes(name: str, options: argparse.Namespace) -> tuple[Counter, int]:
    """Return the outcomes of all cases of a kind, and by how many MiB the memory of a reader grew at most."""
    outcomes: Counter = Counter()
    peak = first = 0
    while first < options.count:
        first, peak = read_some(name, first, options, outcomes, peak)
    return outcomes, peak


def read_some(name: str, first: int, options: argparse.Namespace, outcomes: Counter, peak: int) -> tuple[int, int]:
    """Let a process read until it is done, dies or hangs; return the number of the next case and the peak."""
    reading, writing = os.pipe()
    command = [sys.executable, __file__, "--child", name, "--first", str(first), "--pipe", str(writing)]
    command += [f"--{key}={getattr(options, key)}" for key in ("count", "seed", "memory", "seconds")]
    single = {**os.environ, "OMP_NUM_THREADS": "1"}  # more threads wait for each other on busy cores
    process = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.PIPE, env=single)
    os.close(writing)
    lines = os.fdopen(reading, "rb", buffering=0)
    buffer, number, begun = b"", first, False
    while True:
        ready = select.select([lines], [], [], options.seconds if begun else 120)[0]
        chunk = lines.read(65536) if ready else b""
        if not chunk:
            break
        buffer += chunk
        *whole, buffer = buffer.split(b"\n")
        for line in map(json.loads, whole):
            begun = isinstance(line, dict)
            if isinstance(line, list):
                outcomes[line[1]] += 1
                peak, number = max(peak, line[3]), line[0] + 1
                if options.verbose or line[1] in (*BAD, "unnamed"):
                    print(f"{name} {line[0]}: {line[1]}: {line[2]}", file=sys.stderr, flush=True)
    if not ready:
        process.kill()
    errors = process.communicate()[1].decode(errors="replace")
    if number < options.count:
        if not begun:
            raise SystemExit(f"The valid files of {name} cannot be read:\n{errors}")
        outcome = "hang" if not ready else "memory"
        outcomes[outcome] += 1
        print(f"{name} {number}: {outcome}: the process was ended {errors[-300:]}", file=sys.stderr, flush=True)
        number += 1
    return number, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--memory", type=int, default=1024, help="MiB that a reader may ask for beside those of a valid file"
    )
    parser.add_argument("--seconds", type=float, default=60, help="after which a reader hangs")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--verbose", action="store_true", help="print every case on the error output")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--pipe", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return read_in_process(options.child, options.first, options.count, options)
    print(f"| kind | tried | {' | '.join(OUTCOMES)} | memory, MiB |")
    print("|---" * (3 + len(OUTCOMES)) + "|")
    failed = 0
    for name in options.kinds:
        outcomes, peak = count_outcomes(name, options)
        failed += sum(outcomes[outcome] for outcome in BAD)
        cells = [name, options.count, *(outcomes[outcome] for outcome in OUTCOMES), f"+{peak}"]
        print(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in cells)} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
