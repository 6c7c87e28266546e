"""A report as one page of HTML, which loads nothing and runs nothing."""

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rim_lightning.case.report_content import CaseReport


def html_of(report: CaseReport) -> bytes:
    """Return a report as the content of an HTML file.

    Args:
        report: The report.

    Returns:
        A page in UTF-8. Its text is escaped, its pictures are in it, and its policy forbids scripts and other files.
    """
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_url"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}"
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("report.html.jinja").render(report=report).encode()
