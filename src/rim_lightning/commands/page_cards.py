"""Answers of the page as HTML: sentences, and cards with a bar and pictures side by side. Every text is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from PIL import Image

from rim_lightning.case.illustrations import png_bytes
from rim_lightning.files import printable
from rim_lightning.inference.verdict import shown_apart

Pictures: TypeAlias = Sequence[tuple[Image.Image, str]]
"""Pictures with their captions."""

TEMPLATE_LETTERS = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})
"""Letters that mean something to the templates of the browser."""
CSS = """
.rim p { margin: .35rem 0; overflow-wrap: anywhere; }
.rim h3 { margin: .2rem 0 .5rem; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere; }
.rim-note { font-size: .9rem; }
.rim-wrong { border-left: 4px solid #d55e00; padding: .4rem .75rem; background: var(--background-fill-secondary); }
.rim-card { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .75rem; margin: 0 0 .75rem; }
@media (max-width: 480px) { .rim-card { border-width: 1px 0; border-radius: 0; padding: .5rem 0; } }
@media (min-width: 900px) { .rim-card { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.5rem; } }
.rim-bar { position: relative; height: 1.1rem; max-width: 44rem; margin: .9rem 0 .2rem; border-radius: 4px;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
.rim-bar i { position: absolute; inset: 0 auto 0 0; border-radius: 3px; background: #0072b2; }
.rim-bar b { position: absolute; top: -.35rem; bottom: -.35rem; width: 3px; margin-left: -1px;
  background: var(--body-text-color); }
.rim-ends { display: flex; justify-content: space-between; max-width: 44rem; font-size: .75rem; }
.rim-faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 170px), 1fr)); gap: .5rem;
  max-width: 44rem; margin-top: .6rem; }
.rim-faces.three { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.rim-faces figure { margin: 0; }
.rim-faces img { display: block; width: 100%; height: auto; margin: 0; border-radius: 4px; }
.rim-faces figcaption { font-size: .8rem; line-height: 1.3; margin-top: .2rem; overflow-wrap: anywhere; }
.rim-pixels { image-rendering: pixelated; }
.rim summary { cursor: pointer; margin-top: .6rem; }
.rim-file { display: inline-block; padding: .5rem .9rem; margin: .2rem .5rem .2rem 0; border-radius: 6px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary);
  color: var(--body-text-color); }
"""


class FaceCard(NamedTuple):
    """One comparison, or one face that was found.

    Attributes:
        heading: What is compared, or the side of the threshold.
        lines: Sentences.
        score: Similarity and threshold, for the bar. None for no bar.
        pictures: Aligned faces, side by side.
        more: Pictures that are shown on demand.
    """

    heading: str
    lines: Sequence[str] = ()
    score: tuple[float, float] | None = None
    pictures: Pictures = ()
    more: Pictures = ()


class PageAnswer(NamedTuple):
    """What the page says to a question.

    Attributes:
        lines: Sentences above the cards.
        cards: The cards.
        figure: A plot, if there is one.
        refused: True if the question could not be answered; the sentence says why.
    """

    lines: Sequence[str]
    cards: Sequence[FaceCard] = ()
    figure: Any = None
    refused: bool = False


def escaped(text: str) -> str:
    r"""Return a text as HTML that shows it on one line, and means nothing to a browser or a template.

    Example:
        >>> escaped("<b>Ana</b> & ${1}\n")
        '&lt;b&gt;Ana&lt;/b&gt; &amp; &#36;&#123;1&#125;\\n'
    """
    return html.escape(printable(text)).translate(TEMPLATE_LETTERS)


def answer_html(answer: PageAnswer) -> str:
    """Return an answer as HTML."""
    kind = "rim-wrong" if answer.refused else ""
    cards = [_card(card) for card in answer.cards]
    return f'<div class="rim">{_paragraphs(answer.lines, kind)}{"".join(cards)}</div>'


def note_html(sentence: str, wrong: bool = False) -> str:
    """Return a sentence beside a field as HTML; "" for none.

    Args:
        sentence: The sentence.
        wrong: True if it says why a file cannot be used.
    """
    kind = "rim-wrong" if wrong else "rim-note"
    return f'<div class="rim">{_paragraphs([sentence], kind)}</div>' if sentence else ""


def files_html(files: dict[str, bytes], sentence: str) -> str:
    """Return links that save files, whose content is in the page itself.

    Args:
        files: Name -> content. HTML or PDF.
        sentence: What stands below.
    """
    kinds = {"html": "text/html", "pdf": "application/pdf"}
    links = [
        f'<a class="rim-file" download="{escaped(name)}" href="{_data_url(content, kinds[name.rpartition(".")[2]])}">'
        f"Save {escaped(name)} ({max(1, len(content) // 1000):,} KB)</a>"
        for name, content in files.items()
    ]
    return f'<div class="rim">{"".join(links)}{_paragraphs([sentence], "rim-note")}</div>'


def _card(card: FaceCard) -> str:
    bar = "" if card.score is None else _bar(*card.score)
    more = f"<details><summary>More pictures of the network</summary>{_faces(card.more)}</details>" if card.more else ""
    return (
        f'<section class="rim-card"><div><h3>{escaped(card.heading)}</h3>{bar}{_paragraphs(card.lines)}</div>'
        f"<div>{_faces(card.pictures)}{more}</div></section>"
    )


def _bar(similarity: float, threshold: float) -> str:
    """Return a bar from 0 to 1: its length is the similarity, a mark is the threshold."""
    filled, mark = (100 * min(max(value, 0.0), 1.0) for value in (similarity, threshold))
    compared = "similarity {}, threshold {}".format(*shown_apart(similarity, threshold))
    return (
        f'<div class="rim-bar" role="img" aria-label="{compared}">'
        f'<i style="width:{filled:.1f}%"></i><b style="left:{mark:.1f}%"></b></div>'
        '<div class="rim-ends"><span>0</span><span>bar: similarity, line: threshold</span><span>1</span></div>'
    )


def _paragraphs(lines: Iterable[str], kind: str = "") -> str:
    opened = f'<p class="{kind}">' if kind else "<p>"
    return "".join(f"{opened}{escaped(line)}</p>" for line in lines)


def _faces(pictures: Pictures) -> str:
    """Return pictures side by side, three in a row if they are three. A picture of few pixels stays blocky."""
    if not pictures:
        return ""
    figures = []
    for number, (picture, caption) in enumerate(pictures):
        kind = ' class="rim-pixels"' if number == 0 else ""
        source, caption = _data_url(png_bytes(picture), "image/png"), escaped(caption)
        image = f'<img alt="{caption}" src="{source}"{kind}>'
        figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="rim-faces{" three" if len(pictures) <= 3 else ""}">{"".join(figures)}</div>'


def _data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
