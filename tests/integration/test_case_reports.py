"""Reports of records: HTML and PDF say the same, load nothing, and show what somebody else wrote as text."""

import importlib.util
import io
import json
import random
import re
import shutil
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from rim_lightning.case.record_folder import read_record
from rim_lightning.case.report_content import report_of
from rim_lightning.case.report_html import html_of
from rim_lightning.inference.recognizer import Recognizer
from tests.helpers.case_records import case_folder, recorded, rewritten, rim

FILE = Path(__file__).parents[2] / "benchmarks" / "hostile_files.py"
SPECIFICATION = importlib.util.spec_from_file_location("hostile_files_of_records", FILE)
hostile_files = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["hostile_files_of_records"] = hostile_files
SPECIFICATION.loader.exec_module(hostile_files)

HOSTILE = "<script>alert(1)</script> & \"'{{ 7 * 7 }}\x1b[2J\n\u202egnp.exe %s {0} </td><img src=x onerror=y>"
SHOWN = "<script>alert(1)</script> & \"'{{ 7 * 7 }}\\x1b[2J\\n\\u202egnp.exe %s {0} </td><img src=x onerror=y>"


class Page(HTMLParser):
    """The text of a page, its tags with their attributes, and its pictures."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.texts, self.pictures = [], [], []
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] != "style":
            self.texts.append(data)

    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return case_folder(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def original(place):
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--reviewer", "Ana Lang")
    return recorded(place / "cases", *words)[0]


@pytest.fixture
def record(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "record"))


def pdf_text(content):
    pypdf = pytest.importorskip("pypdf")
    return "".join("".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def test_the_page_says_what_the_answer_says(place, record):
    answer = Recognizer.from_checkpoint(place / "model").verify(place / "probe.png", place / "sharp.png")
    page = Page(html_of(report_of(record, read_record(record))))
    text = page.text()
    for line in answer.in_words():
        assert f"{line[0].upper()}{line[1:]}." in text
    assert "the same person" not in text
    assert "A hallucinated face is no evidence." in text
    assert "Ana Lang" in text
    content = json.loads((record / "record.json").read_text())
    for picture in content["pictures"]:
        assert picture["sha256"] in text
    assert content["model"]["weights"] in text


def test_what_is_said_of_the_rates_below_stands_above_them(record):
    rewritten(record, lambda content: content["verifications"][0].update(gallery_size=3.0))
    text = Page(html_of(report_of(record, read_record(record)))).text()
    assert text.index("The gallery face has 3 px: the rates below are those of sharp ones") < text.index("Similarity ")


def test_the_page_loads_and_runs_nothing(record):
    content = html_of(report_of(record, read_record(record)))
    page = Page(content)
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "section", "div", "figure", "img"),
        *("figcaption", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"),
    }
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("href", "srcset", "action")}
    assert all(source.startswith("data:image/png;base64,") for source in page.pictures)
    assert b"url(" not in content
    assert b"http:" not in content
    assert b"https:" not in content
    (policy,) = [each["content"] for tag, each in page.tags if tag == "meta" and "http-equiv" in each]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_shows_the_pixels_of_the_probe(place, record):
    """A face view holds each pixel of its part of the picture as a square of one color."""
    rewritten(record, lambda content: content["faces"][0].update(box=None, points=None, confidence=None))
    report = report_of(record, read_record(record))
    (view, *_), *_ = (
        block.figures for section in report.sections for block in section.blocks if hasattr(block, "figures")
    )
    shown, probe = Image.open(io.BytesIO(view.png)), Image.open(place / "probe.png").convert("RGB")
    factor = shown.width // probe.width
    assert (shown.width, shown.height) == (factor * probe.width, factor * probe.height)
    assert factor > 1
    for x, y in ((0, 0), (17, 90), (127, 127), (64, 3)):
        squares = {shown.getpixel((factor * x + i, factor * y + j)) for i in range(factor) for j in range(factor)}
        assert squares == {probe.getpixel((x, y))}


def test_hallucinated_faces_say_on_their_pixels_what_they_are(place, record):
    """Wherever a third of the picture is cut out, the text changes it."""
    recognizer = Recognizer.from_checkpoint(place / "model")
    faces = recognizer.hallucinate(place / "probe.png")
    from rim_lightning.inference.face_pictures import face_pictures

    bare = next(picture for picture, caption in face_pictures(faces, 0, 384) if caption == "hallucinated")
    marked = Image.open(record / "illustrations" / "face_1_hallucinated.png")
    changed = ImageChops.difference(bare, marked).convert("L").point(lambda level: 255 * (level > 8))
    for top in (0, 128, 256):
        part = changed.crop((0, top, 384, top + 128))
        assert part.getbbox()[2] - part.getbbox()[0] > 300
    report = report_of(record, read_record(record))
    captions = [
        figure.caption
        for section in report.sections
        for block in section.blocks
        for figure in getattr(block, "figures", ())
    ]
    assert [caption for caption in captions if caption.startswith("hallucinated: not a photograph")] == captions[-2:]


@pytest.mark.slow
def test_html_and_pdf_say_the_same(record, tmp_path):
    pytest.importorskip("reportlab")
    for name in ("report.html", "report.pdf"):
        done = rim("report", record, tmp_path / name)
        assert done.exit_code == 0, done.output
    in_pdf = pdf_text((tmp_path / "report.pdf").read_bytes())
    page = Page((tmp_path / "report.html").read_bytes())
    said = [text for text in page.texts if text.strip()]
    assert len(said) > 60
    missing = [text for text in said if "".join(text.split()) not in in_pdf]
    assert not missing
    assert len(page.pictures) == 8  # of both: the picture, its face, the points; and two that the network made
    again = tmp_path / "again.pdf"
    assert rim("report", record, again).exit_code == 0
    assert again.read_bytes() == (tmp_path / "report.pdf").read_bytes()


def test_text_of_others_stays_text(record, tmp_path):
    def change(content):
        content["reviewers"] = [HOSTILE]
        content["pictures"][0]["name"] = HOSTILE
        content["left_out"] = {HOSTILE: HOSTILE}
        content["versions"][HOSTILE] = HOSTILE
        content["faces"][0]["notes"] = [HOSTILE]
        content["settings"]["model"] = HOSTILE
        content["verifications"][0]["chosen_on"]["name"] = HOSTILE

    tags = [tag for tag, _ in Page(html_of(report_of(record, read_record(record)))).tags]
    rewritten(record, change)
    content = html_of(report_of(record, read_record(record)))
    page = Page(content)
    added = Counter(tag for tag, _ in page.tags) - Counter(tags)
    assert set(added) <= {"p", "section", "h2", "table", "thead", "tbody", "tr", "th", "td"}  # rows, no tags of theirs
    assert page.texts.count(SHOWN) >= 4
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae", content)
    done = rim("replay", record)
    assert "\x1b" not in done.stderr
    pytest.importorskip("reportlab")
    assert rim("report", record, tmp_path / "report.pdf").exit_code == 0
    assert "".join(SHOWN.split()) in pdf_text((tmp_path / "report.pdf").read_bytes())


def test_letters_that_the_font_of_a_pdf_lacks_are_escapes(record, tmp_path):
    pytest.importorskip("reportlab")
    rewritten(record, lambda content: content.update(reviewers=["Жанна Łuczak 山田"]))
    assert rim("report", record, tmp_path / "report.pdf").exit_code == 0
    assert r"\u0416\u0430\u043d\u043d\u0430Łuczak\u5c71\u7530" in pdf_text((tmp_path / "report.pdf").read_bytes())


def test_a_pdf_without_its_package_is_one_sentence(record, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "reportlab", None)
    done = rim("report", record, tmp_path / "report.pdf")
    assert done.exit_code == 2
    assert done.stderr == (
        "rim: A report in PDF needs reportlab, which is not installed: pip install 'rim-lightning[report]'.\n"
    )
    assert rim("report", record, tmp_path / "report.html").exit_code == 0


def test_endless_names_are_shortened(record, tmp_path):
    pytest.importorskip("reportlab")
    long = "x" * 19_000

    def change(content):
        content["reviewers"] = [long]
        content["pictures"][0]["name"] = long
        content["pictures"][1]["name"] = "山" * 10_000  # escapes in the PDF, six letters each
        content["left_out"] = {f"{number} {long}": long for number in range(300)}

    rewritten(record, change)
    for name in ("report.html", "report.pdf"):
        assert rim("report", record, tmp_path / name).exit_code == 0
    assert "and 100 more" in Page((tmp_path / "report.html").read_bytes()).text()
    assert (tmp_path / "report.html").stat().st_size < 2**21


def test_reports_replace_nothing_and_name_their_endings(place, record, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    for target, sentence in (("there.html", "exists already"), ("x.txt", "neither .html nor .pdf")):
        done = rim("report", record, tmp_path / target)
        assert done.exit_code == 2
        assert sentence in done.stderr
    words = ("verify", "-m", place / "model", place / "probe.png", place / "sharp.png", "--record", tmp_path / "cases")
    done = rim(*words, "--report", tmp_path / "there.html")
    assert done.exit_code == 2
    assert not (tmp_path / "cases").exists()
    pytest.importorskip("reportlab")
    done = rim(*words, "--report", tmp_path / "one.html", "--report", tmp_path / "one.pdf")
    assert done.exit_code in (0, 1), done.output
    assert (tmp_path / "one.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.slow
def test_the_folder_of_a_report_is_made(place, record, tmp_path):
    target = tmp_path / "new" / "folder" / "case.html"
    assert rim("report", record, target).exit_code == 0
    assert target.is_file()
    refused = rim("report", record, place / "probe.png" / "case.html")
    assert refused.exit_code == 2
    assert "choose another place for the report" in refused.stderr


def test_damaged_records_end_in_a_report_or_in_one_sentence(original, tmp_path):
    """240 records with one damaged place each, their digests made anew."""
    outcomes, faults = Counter(), []
    content = json.loads((original / "record.json").read_text())
    record = Path(shutil.copytree(original, tmp_path / "record"))
    for number in range(240):
        generator = random.Random(f"records {number}")
        if number % 6:
            text = hostile_files.damaged_json(content, generator).encode("utf-8", "surrogatepass")
        else:
            text = hostile_files.damaged_bytes((original / "record.json").read_bytes(), generator)
        (record / "record.json").write_bytes(text)
        hostile_files.seal_record(record)
        done = rim("report", record, tmp_path / "report.html")
        (tmp_path / "report.html").unlink(missing_ok=True)
        outcomes[done.exit_code] += 1
        one_line = len(done.stderr.splitlines()) == 1 and len(done.stderr) < 2000
        if done.exit_code not in (0, 2) or (done.exit_code == 2 and not one_line):
            faults.append((number, done.exit_code, done.output[-500:]))
    assert not faults
    assert outcomes[2] > 100
    assert outcomes[0] > 10
