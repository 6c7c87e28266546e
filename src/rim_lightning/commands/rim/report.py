"""`rim report`: a record as a page for people."""

from __future__ import annotations

from pathlib import Path

import click

from rim_lightning.commands.rim.options import EXIT_CODES, Place
from rim_lightning.commands.rim.output import say
from rim_lightning.commands.rim.recording import check_report


@click.command(epilog=EXIT_CODES)
@click.argument("record", type=Place())
@click.argument("target", type=Place())
def report(record: Path, target: Path) -> None:
    """Write the report of RECORD to TARGET, an .html or .pdf file with everything in it.

    RECORD is a folder that --record of rim verify or rim identify made. The report has the answer in words, the rates
    and their limits, the pictures, who looked, and the digests by which the record can be checked.

    \b
    Examples:
      rim report case_7/2026-03-01_10-30-00.123456 case_7.html
      rim report case_7/2026-03-01_10-30-00.123456 case_7.pdf
    """
    check_report(target)
    from rim_lightning.case.report import write_report

    write_report(record, target)
    say(f"written to {target}")
