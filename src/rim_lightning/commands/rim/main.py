"""The command `rim`: a group that collects the sub-commands."""

import click

from rim_lightning.commands.rim.enroll import enroll
from rim_lightning.commands.rim.faces import faces
from rim_lightning.commands.rim.gallery import forget, gallery, identify
from rim_lightning.commands.rim.hallucinate import hallucinate
from rim_lightning.commands.rim.model import export, info
from rim_lightning.commands.rim.options import EXIT_CODES, Group
from rim_lightning.commands.rim.page import page
from rim_lightning.commands.rim.verify import verify


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
      rim gallery list --index known
      rim hallucinate --model my_model cctv_folder faces_folder
      rim page --model my_model --index known
      rim info my_model
    """


for command in (faces, verify, enroll, identify, forget, gallery, hallucinate, page, export, info):
    main.add_command(command)


if __name__ == "__main__":
    main()
