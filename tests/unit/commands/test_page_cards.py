"""Answers of the page as HTML: every text is escaped, the bar has the right length, pixels are those of the picture."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from rim_lightning.commands.page_cards import FaceCard, PageAnswer, answer_html, escaped, files_html, note_html

ODD = "<img src=x onerror=alert(1)> \"a\" 'b' & ${alert(2)} {{x}} `y`\n\x1b[0m"


class Elements(HTMLParser):
    """Elements and text of some HTML."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def card_of(text):
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    return FaceCard(text, [text], (0.25, 0.5), [(picture, text)] * 3, [(picture, text)])


def test_odd_texts_are_shown_and_mean_nothing():
    shown = ODD.replace("\n", "\\n").replace("\x1b", "\\x1b")
    plain = Elements(answer_html(PageAnswer(["plain"], [card_of("plain")])))
    for content, least in (
        (answer_html(PageAnswer([ODD], [card_of(ODD)])), 7),  # a line, a heading, a line, four captions
        (answer_html(PageAnswer([ODD], refused=True)), 1),
        (note_html(ODD), 1),
        (note_html(ODD, wrong=True), 1),
        (files_html({"report.html": b"x"}, ODD), 1),
    ):
        parsed = Elements(content)
        assert parsed.text.count(shown) >= least
        assert {name for _, attributes in parsed.elements for name in attributes} <= {
            *("class", "role", "aria-label", "style", "alt", "src", "href", "download")
        }
        assert not re.search(r"[${}`]", content)
        if least == 7:
            assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in plain.elements]


@pytest.mark.parametrize(
    ("similarity", "threshold", "filled", "mark"),
    [(0.25, 0.5, "25.0", "50.0"), (-0.3, -1.0, "0.0", "0.0"), (1.0, 0.3339, "100.0", "33.4")],
)
def test_the_bar_is_as_long_as_the_similarity(similarity, threshold, filled, mark):
    parsed = Elements(answer_html(PageAnswer([], [FaceCard("a", (), (similarity, threshold))])))
    assert (parsed.of("i"), parsed.of("b")) == ([{"style": f"width:{filled}%"}], [{"style": f"left:{mark}%"}])
    label = f"similarity {similarity:.3f}, threshold {threshold:.3f}"
    assert {"class": "rim-bar", "role": "img", "aria-label": label} in parsed.of("div")


def test_a_picture_is_in_the_card_pixel_by_pixel():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8))
    (image,) = Elements(answer_html(PageAnswer([], [FaceCard("a", pictures=[(picture, "probe")])]))).of("img")
    kind, _, content = image["src"].partition(",")
    assert kind == "data:image/png;base64"
    np.testing.assert_array_equal(Image.open(io.BytesIO(base64.b64decode(content))), picture)
    assert image["class"] == "rim-pixels"  # the browser repeats its pixels


def test_files_are_in_their_links():
    links = Elements(files_html({"report.html": b"<p>", "report.pdf": b"%PDF"}, "Save it.")).of("a")
    assert [(link["download"], link["href"]) for link in links] == [
        ("report.html", f"data:text/html;base64,{base64.b64encode(b'<p>').decode()}"),
        ("report.pdf", f"data:application/pdf;base64,{base64.b64encode(b'%PDF').decode()}"),
    ]


def test_nothing_is_said_without_a_sentence():
    assert note_html("") == ""
    assert escaped("Ana Lang, 3 px") == "Ana Lang, 3 px"
