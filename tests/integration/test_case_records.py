"""Records for case files: an answer is kept whole, gives the same bits again, and what was altered is named."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path

import pytest
import torch
from PIL import Image

from rim_lightning.case import record_folder
from rim_lightning.inference.calibration_file import write_calibration
from rim_lightning.inference.recognizer import Recognizer
from tests.helpers.case_records import case_folder, recorded, rewritten, rim, tiny_calibration, tiny_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return case_folder(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def original(place):
    """A record of a verification with the answer as JSON."""
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--reviewer", "Ana Lang")
    return recorded(place / "cases", *words)


@pytest.fixture
def record(original, tmp_path):
    """A copy of that record."""
    return Path(shutil.copytree(original[0], tmp_path / "record"))


def replayed(record, place, *words):
    return rim("replay", record, "-m", place / "model", *words)


def test_a_record_holds_the_answer_and_what_it_came_from(place, original):
    folder, answer = original
    content = json.loads((folder / "record.json").read_text())
    (verification,) = content["verifications"]
    assert verification["similarity"].hex() == answer["similarity"].hex()  # all digits
    same = ("threshold", "accepted", "far", "frr", "probe_size", "far_interval", "frr_interval", "ratio", "chosen_on")
    assert {name: verification[name] for name in same} == {name: answer[name] for name in same}
    ours = Recognizer.from_checkpoint(place / "model").verify(place / "probe.png", place / "sharp.png")
    assert verification["similarity"].hex() == ours.similarity.hex()
    for picture, name in zip(content["pictures"], ("probe.png", "sharp.png"), strict=True):
        copy = (folder / "pictures" / picture["file"]).read_bytes()
        assert copy == (place / name).read_bytes()
        assert picture["sha256"] == hashlib.sha256(copy).hexdigest()
        assert (picture["name"], picture["width"], picture["height"]) == (str(place / name), 128, 128)
    box, points = content["faces"][0]["box"], content["faces"][0]["points"]
    assert [round(value, 1) for value in box] == answer["probe_found"][0]["box"]
    assert [[round(value, 6) for value in point] for point in points] == answer["probe_found"][0]["points"]
    assert content["model"]["weights"] == hashlib.sha256((place / "model/model.safetensors").read_bytes()).hexdigest()
    assert content["model"]["card"] == hashlib.sha256((place / "model/card.json").read_bytes()).hexdigest()
    assert content["versions"]["torch"] == metadata.version("torch")
    assert content["reviewers"] == ["Ana Lang"]
    assert content["settings"]["threads"] == torch.get_num_threads()
    assert datetime.fromisoformat(content["made"]).tzinfo is not None
    digest = hashlib.sha256((folder / "record.json").read_bytes()).hexdigest()
    assert answer["record"]["sha256"] == digest
    assert (folder / "record.json.sha256").read_text() == f"{digest}  record.json\n"  # as sha256sum --check reads it


def test_nobody_else_can_read_a_record(original):
    folder, _ = original
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*")) if path.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()} == {0o600}


def test_the_same_bits(record, place):
    done = replayed(record, place)
    assert (done.exit_code, done.stdout) == (0, "the same bits\n")
    assert json.loads(replayed(record, place, "--json").stdout) == {
        "same": True,
        "altered": [],
        "context": [],
        "answers": [],
    }


@pytest.mark.slow
def test_the_same_bits_in_another_process_with_another_number_of_threads(record, place):
    threads = "2" if torch.get_num_threads() == 1 else "1"
    command = [sys.executable, "-m", "rim_lightning.commands.rim.main", "replay", str(record), "-m", place / "model"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": threads}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "the same bits\n"), done.stderr


def test_a_replay_computes_with_the_threads_of_the_record(record, place, monkeypatch):
    """Another number of threads can add in another order, and so change the last bits."""
    before, seen = torch.get_num_threads(), []
    verify = Recognizer.verify
    rewritten(record, lambda content: content["settings"].update(threads=before + 1))
    monkeypatch.setattr(Recognizer, "verify", lambda *words: (seen.append(torch.get_num_threads()), verify(*words))[1])
    assert replayed(record, place).exit_code in (0, 1)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


def test_a_flipped_byte_in_a_picture_is_named(record, place):
    file = next((record / "pictures").glob("probe*"))
    picture = Image.open(file).convert("RGB")
    red, *rest = picture.getpixel((48, 48))
    picture.putpixel((48, 48), (red ^ 64, *rest))
    picture.save(file)
    done = replayed(record, place)
    assert done.exit_code == 1
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"altered since it was recorded: pictures/{file.name}: recorded ")
    assert any(line.startswith("the answer: verifications[0].similarity: recorded ") for line in rest)
    assert rest[-1] == "NOT the same as recorded"
    refused = rim("report", record, record.parent / "report.html")
    assert refused.exit_code == 2
    assert f"pictures/{file.name} was altered" in refused.stderr


def test_a_picture_that_cannot_be_read_any_more_is_no_replay(record, place):
    next((record / "pictures").glob("gallery*")).write_bytes(b"no picture")
    done = replayed(record, place)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


def test_an_altered_score_is_named_even_if_its_digest_was_made_anew(record, place):
    score = json.loads((record / "record.json").read_text())["verifications"][0]["similarity"]
    rewritten(record, lambda content: content["verifications"][0].update(similarity=score + 2**-40))
    done = replayed(record, place)
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"the answer: verifications[0].similarity: recorded {score + 2**-40!r}, now {score!r}",
        "NOT the same as recorded",
    ]


def test_a_record_that_was_altered_anywhere_is_named_by_its_digest(record, place):
    file = record / "record.json"
    file.write_text(file.read_text().replace("Ana Lang", "Eva Lang"))
    done = replayed(record, place)
    assert done.exit_code == 1
    assert done.stdout.startswith("altered since it was recorded: record.json: recorded ")


def test_another_model_is_named(record, place, tmp_path):
    other = tiny_model(tmp_path / "other", seed=1)
    done = rim("replay", record, "-m", other)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("what may explain a difference: model.fingerprint: recorded ")
    assert any(line.startswith("the answer: verifications[0].similarity: ") for line in lines)


def test_a_model_with_other_thresholds_is_named(record, tmp_path):
    done = rim("replay", record, "-m", tiny_model(tmp_path / "other", threshold=0.25))
    assert done.exit_code == 1
    assert "model.fingerprint" not in done.stdout
    assert "what may explain a difference: thresholds.sha256: recorded " in done.stdout
    assert "the answer: verifications[0].threshold: recorded " in done.stdout


def test_the_model_of_a_record_is_never_opened_by_its_path(record, place):
    done = rim("replay", record)
    assert done.exit_code == 2
    assert f"The record was made by the model {place / 'model'}" in done.stderr
    assert "--model" in done.stderr


def test_a_calibration_is_kept_in_the_record(place, tmp_path):
    recognizer = Recognizer.from_checkpoint(place / "model")
    file = tmp_path / "camera.json"
    write_calibration(file, tiny_calibration(0.3, people=50), recognizer.probe_fingerprint)
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--calibration", file)
    folder, answer = recorded(tmp_path / "cases", *words)
    assert answer["chosen_on"]["people"] == 50
    file.unlink()
    assert replayed(folder, place).exit_code == 0
    write_calibration(folder / "calibration.json", tiny_calibration(0.3, people=51), recognizer.probe_fingerprint)
    done = replayed(folder, place)
    assert done.exit_code == 1
    assert done.stdout.startswith("altered since it was recorded: calibration.json: recorded ")
    assert "what may explain a difference: thresholds.sha256: recorded " in done.stdout
    assert "the answer: verifications[0].chosen_on.people: recorded 50, now 51" in done.stdout


def test_settings_are_repeated(place, tmp_path):
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--far", "1e-1", "--size", "12")
    folder, answer = recorded(tmp_path / "cases", *words, "--aligned", "gallery", "--box", "0,0,95,95")
    assert (answer["far"], answer["probe_size"]) == (0.1, 12.0)
    assert replayed(folder, place).exit_code == 0
    folder, _ = recorded(tmp_path / "all", *words[:5], "--faces", "all")
    assert replayed(folder, place).exit_code == 0


def test_a_folder_of_probes_with_one_that_cannot_be_used(place, tmp_path):
    probes = tmp_path / "probes"
    probes.mkdir()
    shutil.copy(place / "probe.png", probes / "1.png")
    shutil.copy(place / "sharp.png", probes / "2.png")
    Image.new("RGB", (64, 64)).save(probes / "3.png")
    (probes / "4.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    folder, answer = recorded(tmp_path / "cases", "verify", "-m", place / "model", probes, place / "sharp.png")
    content = json.loads((folder / "record.json").read_text())
    assert set(content["left_out"]) == set(answer["left_out"]) == {str(probes / "3.png"), str(probes / "4.png")}
    assert content["verifications"][0]["probes"] == 2
    assert replayed(folder, place).exit_code == 0


@pytest.mark.slow
def test_a_search_gives_the_same_bits_and_names_another_gallery(place, tmp_path):
    pytest.importorskip("lancedb")
    known = tmp_path / "known"
    for person in ("ana", "eva"):
        (known / person).mkdir(parents=True)
    shutil.copy(place / "sharp.png", known / "ana" / "1.png")
    shutil.copy(place / "probe.png", known / "eva" / "1.png")
    index = tmp_path / "index"
    assert rim("enroll", "-m", place / "model", "-i", index, known).exit_code == 0
    probes = (place / "probe.png", place / "probe.png")  # named twice, as by "*.png" and by name
    words = ("identify", "-m", place / "model", "-i", index, *probes, "--top", "2")
    folder, answer = recorded(tmp_path / "cases", *words)
    content = json.loads((folder / "record.json").read_text())
    assert [hit["similarity"] for hit in content["searches"][0]["hits"]] == [
        hit["similarity"] for hit in answer["probes"][0]["hits"]
    ]
    hits = [content["pictures"][hit["picture"]] for hit in content["searches"][0]["hits"]]
    assert {picture["sha256"] for picture in hits} == {hit["digest"] for hit in answer["probes"][0]["hits"]}
    assert replayed(folder, place, "-i", index).exit_code == 0
    missing = replayed(folder, place)
    assert missing.exit_code == 2
    assert "--index" in missing.stderr
    assert rim("forget", "-i", index, "eva").exit_code == 0
    done = replayed(folder, place, "-i", index)
    assert done.exit_code == 1
    assert "what may explain a difference: gallery.templates: recorded 2, now 1" in done.stdout
    assert "the answer: number of searches[0].hits: recorded 2, now 1" in done.stdout


def test_records_never_replace_one_another(place, tmp_path, monkeypatch):
    moment = datetime(2026, 3, 1, 10, 30, 0, 123456).astimezone()

    class Stopped:
        @staticmethod
        def now():
            return moment

    monkeypatch.setattr("rim_lightning.commands.rim.recording.datetime", Stopped)
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png")
    folders = [recorded(tmp_path / "cases", *words)[0].name for _ in range(3)]
    assert folders == [f"2026-03-01_10-30-00.12345{digit}" for digit in (6, 7, 8)]
    assert sorted(path.name for path in (tmp_path / "cases").iterdir()) == folders


def test_nothing_is_left_of_a_record_that_failed(place, tmp_path):
    cases = tmp_path / "cases"
    Image.new("RGB", (64, 64)).save(tmp_path / "empty.png")
    done = rim("verify", "-m", place / "model", tmp_path / "empty.png", place / "sharp.png", "--record", cases)
    assert done.exit_code == 2
    assert list(cases.iterdir()) == []


@pytest.mark.parametrize("failing", ["probe_1.png", "face_1_landmarks.png", "record.json"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(place, tmp_path, monkeypatch, failing):
    opened = os.open

    def without_room(path, *arguments, **options):
        if Path(path).name == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(record_folder.os, "open", without_room)
    folder = tmp_path / "probes"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        shutil.copy(place / "probe.png", folder / name)
    words = ("verify", "-m", place / "model", folder, place / "sharp.png", "--record", tmp_path / "cases")
    done = rim(*words)
    assert done.exit_code == 2
    assert re.fullmatch(r"rim: .*cases.*: No space left on device; make room, then repeat the command\n", done.stderr)
    assert list((tmp_path / "cases").iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_the_record(place, tmp_path, monkeypatch):
    def no_room(folder, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr("rim_lightning.case.report.write_report", no_room)
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--record", tmp_path / "cases")
    done = rim(*words, "--report", tmp_path / "report.html")
    assert done.exit_code == 2
    (folder,) = (tmp_path / "cases").iterdir()
    assert f"the record is finished and lies in {folder}" in done.stderr
    assert replayed(folder, place).exit_code == 0


def test_more_pictures_than_a_record_holds_are_refused(place, tmp_path, monkeypatch):
    monkeypatch.setattr(record_folder, "MOST_PICTURES", 2)
    (tmp_path / "probes").mkdir()
    for name in ("1.png", "2.png"):
        shutil.copy(place / "probe.png", tmp_path / "probes" / name)
    words = ("verify", "-m", place / "model", tmp_path / "probes", place / "sharp.png", "--record", tmp_path / "cases")
    done = rim(*words)
    assert (done.exit_code, done.stderr) == (2, "rim: A record holds 2 pictures at most: ask in several parts.\n")
    assert list((tmp_path / "cases").iterdir()) == []


def test_a_place_for_records_that_cannot_be_written_to(place):
    done = rim("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--record", "/dev/null/cases")
    assert done.exit_code == 2
    assert "choose another folder for the records" in done.stderr


def test_options_of_a_record_without_one_are_refused(place):
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png")
    for option in (("--reviewer", "Ana"), ("--report", "x.html")):
        done = rim(*words, *option)
        assert done.exit_code == 2
        assert "add --record" in done.stderr


def test_clips_and_templates_are_refused(place, tmp_path):
    pytest.importorskip("lancedb")
    (tmp_path / "probes").mkdir()
    words = ("-m", place / "model", "-i", tmp_path / "index", "--pool", tmp_path / "probes", "--record", tmp_path / "c")
    done = rim("identify", *words)
    assert done.exit_code == 2
    assert "leave --record out" in done.stderr


def test_a_device_of_a_record_that_is_not_here(record, place, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rewritten(record, lambda content: content["settings"].update(device="cuda"))
    done = replayed(record, place)
    assert done.exit_code == 2
    assert done.stderr == "rim: The record was computed on cuda, which is not here: replay it where there is one.\n"


def test_what_is_no_record_is_one_sentence(tmp_path):
    done = rim("replay", tmp_path)
    assert (done.exit_code, done.stderr) == (2, f"rim: {tmp_path} is no record of rim: it has no record.json.\n")


@pytest.mark.slow
def test_the_leftover_of_a_killed_command_is_removed_and_a_living_one_stays(tmp_path):
    """The system frees the lock of a process that is killed; a record that is being made keeps its own."""
    cases = tmp_path / "cases"
    script = (
        "import sys, time; from datetime import datetime; from pathlib import Path\n"
        "from rim_lightning.case.record_folder import RecordWriter\n"
        "writer = RecordWriter(Path(sys.argv[1]), datetime.now().astimezone()); print('made', flush=True)\n"
        "time.sleep(600)"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, cases], stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "made\n"
    (leftover,) = cases.iterdir()
    living = record_folder.RecordWriter(cases, datetime.now().astimezone())  # while the other one lives
    assert leftover.exists()
    killed.kill()
    killed.communicate()
    others = (cases / ".2026-03-01_10-30-00.123456.part", cases / ".notes.part")
    for folder in others:  # of a process that has not taken its lock yet, and of somebody else
        folder.mkdir()
    record_folder.RecordWriter(cases, datetime.now().astimezone()).discard()
    assert not leftover.exists()
    (hidden,) = set(cases.iterdir()) - set(others)
    assert living.keep_illustration("a.png", b"content")["sha256"] == hashlib.sha256(b"content").hexdigest()
    living.discard()
    assert not hidden.exists()


def test_a_disk_that_is_full_from_the_beginning_leaves_nothing(tmp_path, monkeypatch):
    made = os.mkdir

    def without_room(path, *arguments):
        if Path(path).name == "pictures":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        made(path, *arguments)

    monkeypatch.setattr(record_folder.os, "mkdir", without_room)
    with pytest.raises(OSError, match="No space left") as failed:
        record_folder.RecordWriter(tmp_path, datetime.now().astimezone())
    assert failed.value.filename.startswith(str(tmp_path / "20"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("linked", ["pictures/probe_1.png", "pictures", "record.json"])
def test_a_link_in_a_record_is_not_followed(record, place, linked):
    """It could lead to a picture of somebody else, whose face a report would then hold."""
    moved = record.parent / "moved"
    (record / linked).rename(moved)
    (record / linked).symlink_to(moved)
    for words in (("replay", record, "-m", place / "model"), ("report", record, record.parent / "report.html")):
        done = rim(*words)
        assert done.exit_code == 2
        assert done.stderr.endswith(" is a link: take an unaltered copy of the record.\n")


def test_a_linked_file_that_the_answer_does_not_need_is_named(record, place):
    file = record / "illustrations" / "face_1_landmarks.png"
    file.unlink()
    file.symlink_to("/etc/passwd")  # its digest is no business of anybody
    done = replayed(record, place)
    assert done.exit_code == 1
    assert re.search(r"illustrations/face_1_landmarks.png: recorded [0-9a-f]{64}, now a link\n", done.stdout)


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "is missing"), (b"no picture", r"was altered \(SHA-256 [0-9a-f]{64}, recorded ")]
)
def test_a_broken_picture_is_named_as_the_file_of_the_record(record, place, content, sentence):
    """The picture of which it is a copy may be whole."""
    file = record / "pictures" / "gallery_2.png"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    done = replayed(record, place)
    assert done.exit_code == 2
    assert re.match(f"rim: {re.escape(str(file))} {sentence}", done.stderr)


def test_a_digest_in_capitals_is_the_same(record, place):
    file = record / "record.json.sha256"
    file.write_text(file.read_text().upper())
    assert replayed(record, place).exit_code == 0


def test_what_a_record_cannot_hold_is_refused_before_any_work(place, tmp_path):
    words = ("verify", "-m", place / "no_model", place / "probe.png", place / "sharp.png", "--record", tmp_path / "c")
    for names, sentence in (
        (["a" * 30_000], "the name is too long"),
        (["a"] * 101, "at most 100 people"),
        ([" "], "the name is empty"),
    ):
        done = rim(*words, *(word for name in names for word in ("--reviewer", name)))
        assert done.exit_code == 2
        assert sentence in done.stderr
    search = ("identify", "-m", place / "no_model", "-i", tmp_path / "index", place / "probe.png")
    pytest.importorskip("lancedb")
    done = rim(*search, "--top", "20000", "--record", tmp_path / "c")
    assert (done.exit_code, "10,000 people for each probe" in done.stderr) == (2, True)


def test_a_gallery_that_changes_during_a_search_gives_no_record(place, tmp_path, monkeypatch):
    """The record would name a gallery that was not searched, and a replay would differ for no visible reason."""
    pytest.importorskip("lancedb")
    from rim_lightning.commands.rim import gallery as command

    (tmp_path / "known").mkdir()
    shutil.copy(place / "sharp.png", tmp_path / "known" / "sharp.png")
    assert rim("enroll", "-m", place / "model", "-i", tmp_path / "index", tmp_path / "known").exit_code == 0
    answers_to = command.answers_to

    def answered(*asked):
        answers = answers_to(*asked)
        assert rim("forget", "-i", tmp_path / "index", "sharp").exit_code == 0
        return answers

    monkeypatch.setattr(command, "answers_to", answered)
    ask = ("identify", "-m", place / "model", "-i", tmp_path / "index", place / "probe.png")
    done = rim(*ask, "--record", tmp_path / "cases")
    assert done.exit_code == 2
    assert "was changed while it was searched: there is no record, repeat the command." in done.stderr
    assert list((tmp_path / "cases").iterdir()) == []
