"""The command `rim`: a group that collects the sub-commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from rim_lightning.commands.errors import Hints, ending_of, one_sentence, sentence_of
from rim_lightning.commands.rim.calibrate import calibrate
from rim_lightning.commands.rim.enroll import enroll
from rim_lightning.commands.rim.export import export
from rim_lightning.commands.rim.faces import faces
from rim_lightning.commands.rim.gallery import forget, gallery, identify
from rim_lightning.commands.rim.hallucinate import hallucinate
from rim_lightning.commands.rim.info import info
from rim_lightning.commands.rim.measure import measure
from rim_lightning.commands.rim.options import EXIT_CODES, WRONG
from rim_lightning.commands.rim.output import echo_json
from rim_lightning.commands.rim.page import page
from rim_lightning.commands.rim.replay import replay
from rim_lightning.commands.rim.report import report
from rim_lightning.commands.rim.serve import serve
from rim_lightning.commands.rim.tracks import tracks
from rim_lightning.commands.rim.verify import verify
from rim_lightning.commands.rim.watch import watch
from rim_lightning.files import printable

_FOR_PROGRAMS = "rim_lightning.for_programs"  # key in click's context: True if `--json` was given


class Group(click.Group):
    """Command group that reports every error in one sentence, with `--json` also as {"error": sentence}.

    Errors never exit with code 1, which means the answer "no".
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command of a command line. Help that cannot be written ends it with a sentence, too."""
        with one_sentence("rim", Hints(wrong=WRONG)):
            return super().main(*arguments, **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether a program reads the answer."""
        ctx.meta[_FOR_PROGRAMS] = "--json" in args
        with _printable_messages():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Wrong input ends it with exit code 2."""
        hints = Hints(wrong=WRONG)
        with one_sentence("rim", hints), _printable_messages():
            try:
                return super().invoke(ctx)
            except Exception as error:
                if ctx.meta[_FOR_PROGRAMS] and not isinstance(error, BrokenPipeError | click.exceptions.Exit):
                    echo_json({"error": _sentence(error, hints)})
                raise


@contextmanager
def _printable_messages() -> Iterator[None]:
    """Show names of files in click's messages as `files.printable` shows them."""
    try:
        yield
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]  # it is what click shows
        raise


def _sentence(error: Exception, hints: Hints) -> str:
    """Return the message of an exception, which may be one of click's."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    ending = ending_of(error, hints)
    return ending.sentence if ending else f"{type(error).__name__}: {sentence_of(error)}"


@click.group(cls=Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rim-lightning", prog_name="rim")
def main() -> None:
    """Recognize faces of few pixels with a trained RIM.

    MODEL is a folder that `rim export` made, or a checkpoint of rim-train.

    \b
    Examples:
      rim export outputs/real_128/checkpoints/last.ckpt my_model --people prepared/celeba_128
      rim faces frame.jpg numbered.png
      rim verify --model my_model cctv.png passport.jpg
      rim enroll --model my_model --index known passports
      rim identify --model my_model --index known cctv_folder
      rim watch frames --index known
      rim gallery list --index known
      rim hallucinate --model my_model cctv_folder faces_folder
      rim tracks clip.mp4 tracks_folder
      rim page --model my_model --index known
      rim serve --model my_model --index known --log decisions.jsonl
      rim calibrate --model my_model camera_7.json --probes camera_7 --gallery passports
      rim info my_model
      rim verify cctv.png passport.jpg --record case_7
      rim replay case_7/2026-03-01_10-30-00.123456
      rim report case_7/2026-03-01_10-30-00.123456 case_7.pdf
      rim measure ours=ours.csv theirs=theirs.csv
    """


for command in (
    *(faces, verify, enroll, identify, watch, forget, gallery, hallucinate, tracks),
    *(page, serve, export, calibrate, info, replay, report, measure),
):
    main.add_command(command)


if __name__ == "__main__":
    main()
