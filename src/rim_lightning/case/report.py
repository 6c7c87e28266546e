"""Write the report of a record: one file in HTML or PDF, with everything in it."""

from __future__ import annotations

from pathlib import Path

from rim_lightning.case.record_folder import check_unaltered, read_record
from rim_lightning.case.report_content import report_of
from rim_lightning.files import whole_file


def write_report(folder: Path, target: Path) -> None:
    """Write the report of a record.

    Args:
        folder: Folder of the record.
        target: File to write, .html or .pdf. It appears whole or not at all.

    Raises:
        FileNotFoundError: If there is no record.
        ValueError: If the record is damaged, or one of its files was altered.
        MissingExtra: If a package is missing.
        OSError: If the report cannot be written.
    """
    record = read_record(folder)
    check_unaltered(folder, record)
    report = report_of(folder, record)
    if target.suffix.lower() == ".pdf":
        from rim_lightning.case.report_pdf import pdf_of as content_of
    else:
        from rim_lightning.case.report_html import html_of as content_of
    content = content_of(report)
    with whole_file(target) as part:
        part.write_bytes(content)
