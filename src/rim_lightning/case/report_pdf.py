"""A report as PDF, on pages of A4, with its fonts and pictures in it."""

import io
from collections.abc import Iterator
from html import escape
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Image, Paragraph, SimpleDocTemplate, Table, TableStyle

from rim_lightning.case.report_content import CaseReport, ReportFigure, ReportRows, ReportText

PAGE_MARGIN = 18 * mm
PADDING = 6  # points by which reportlab keeps text away from a margin
TEXT_WIDTH = A4[0] - 2 * PAGE_MARGIN - 2 * PADDING
FONTS = {"RimVera": "Vera.ttf", "RimVeraBold": "VeraBd.ttf"}  # they come with reportlab
LONGEST_CELL = 1000  # characters, escapes and all: a cell must fit on a page
COLUMNS = 3  # pictures side by side
LINE, QUIET, CAUTION, EDGE = (HexColor(color) for color in (0x999999, 0x444444, 0xFFF3D6, 0xB26A00))


def pdf_of(report: CaseReport) -> bytes:
    r"""Return a report as the content of a PDF file.

    Args:
        report: The report.

    Returns:
        The file, the same bytes for the same report. Letters that its font lacks are shown as escapes such as \u0416.
    """
    for name, file in FONTS.items():
        pdfmetrics.registerFont(TTFont(name, file))
    content = io.BytesIO()
    document = SimpleDocTemplate(
        content,
        pagesize=A4,
        leftMargin=PAGE_MARGIN,
        rightMargin=PAGE_MARGIN,
        topMargin=PAGE_MARGIN,
        bottomMargin=PAGE_MARGIN,
        title=report.title,
        author="rim",
        invariant=1,
        lang="en",
    )

    def number_page(canvas: Any, page: Any) -> None:
        canvas.setFont("RimVera", 7)
        canvas.setFillColor(QUIET)
        canvas.drawString(PAGE_MARGIN + PADDING, PAGE_MARGIN / 2, f"{report.title}. {report.subtitle}")
        canvas.drawRightString(A4[0] - PAGE_MARGIN - PADDING, PAGE_MARGIN / 2, f"page {page.page}")

    document.build(list(_flowables(report)), onFirstPage=number_page, onLaterPages=number_page)
    return content.getvalue()


def _flowables(report: CaseReport) -> Iterator[Any]:
    yield _paragraph(report.title, _style(16, bold=True))
    yield _paragraph(report.subtitle, _style(8, color=QUIET))
    for section in report.sections:
        heading = _paragraph(section.heading, _style(11.5, bold=True, before=14, keepWithNext=1))
        yield heading
        for block in section.blocks:
            if isinstance(block, ReportText):
                yield _text(block)
            elif isinstance(block, ReportRows):
                yield _table(block)
            else:
                figures = block.figures
                for start in range(0, len(figures), COLUMNS):
                    yield _figures(figures[start : start + COLUMNS])


def _text(block: ReportText) -> Paragraph:
    if block.kind == "answer":
        return _paragraph(block.text, _style(12.5, bold=True))
    if block.kind == "caution":
        more = {"backColor": CAUTION, "borderColor": EDGE, "borderWidth": 0.6, "borderPadding": 4}
        return _paragraph(block.text, _style(9, before=10, spaceAfter=10, leftIndent=5, rightIndent=5, **more))
    if block.kind == "point":
        return _paragraph(f"• {block.text}", _style(9, leftIndent=10, firstLineIndent=-8))
    return _paragraph(block.text, _style(9))


def _table(block: ReportRows) -> Table:
    cells = [[_paragraph(cell, _style(7.5, bold=True)) for cell in block.head]]
    cells += [[_paragraph(cell, _style(7.5)) for cell in row] for row in block.rows]
    wide = {2: (0.36, 0.64), 6: (0.04, 0.22, 0.13, 0.13, 0.34, 0.14)}[len(block.head)]
    style = TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ]
    )
    return Table(cells, [share * TEXT_WIDTH for share in wide], style=style, repeatRows=1, spaceBefore=4, spaceAfter=8)


def _figures(figures: tuple[ReportFigure, ...]) -> Table:
    gap = 4 * mm
    width = TEXT_WIDTH / COLUMNS - gap
    columns = []
    for figure in figures:
        scale = min(width / figure.width, 1.4 * width / figure.height)
        image = Image(io.BytesIO(figure.png), figure.width * scale, figure.height * scale, hAlign="LEFT")
        columns.append([image, _paragraph(figure.caption, _style(7, color=QUIET, before=3))])
    style = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return Table(
        [columns], [TEXT_WIDTH / COLUMNS] * len(columns), style=style, hAlign="LEFT", spaceBefore=6, spaceAfter=4
    )


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    known = pdfmetrics.getFont(style.fontName).face.charToGlyph
    shown = "".join(char if ord(char) in known else char.encode("unicode_escape").decode() for char in text)
    if len(shown) > LONGEST_CELL:
        shown = f"{shown[: LONGEST_CELL // 2]} … {shown[-LONGEST_CELL // 2 :]}"
    return Paragraph(escape(shown), style)


def _style(size: float, bold: bool = False, color: Any = None, before: float = 3, **more: Any) -> ParagraphStyle:
    font = "RimVeraBold" if bold else "RimVera"
    colors = {} if color is None else {"textColor": color}
    return ParagraphStyle(
        "", fontName=font, fontSize=size, leading=1.4 * size, spaceBefore=before, splitLongWords=1, **colors, **more
    )
