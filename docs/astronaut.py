"""Write the picture of the README: a face of 16 pixels, bicubic, hallucinated and as it was, in docs/astronaut.png.

    python docs/astronaut.py              # with the model that comes with the package
    python docs/astronaut.py my_model     # with another model folder, or a checkpoint

docs/example/astronaut.png is a part of the picture `skimage.data.astronaut()` of scikit-image. It shows the astronaut
Eileen Collins, was taken by NASA (https://flic.kr/p/r9qvLn) and is in the public domain.
"""

import sys
from pathlib import Path

from PIL import Image

from rim_lightning import Recognizer
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.resize import reduce
from rim_lightning.inference.face_pictures import captioned_row, save_picture, sharp_face

DOCS = Path(__file__).parent
ASTRONAUT = DOCS / "example" / "astronaut.png"
SIZE = 16
SIDE = 192  # pixels of each picture in the row


def draw_astronaut(model: Recognizer, file: Path) -> None:
    """Reduce the face to 16 px, hallucinate it and write the row of pictures.

    Args:
        model: The model.
        file: PNG file to write.
    """
    (face,) = model.align(str(ASTRONAUT))
    probe = Image.fromarray(to_pixels(reduce(face.pixels[None], SIZE)[0]))
    hallucinated = model.hallucinate(probe, aligned=True)
    pictures = [
        (probe.resize((SIDE, SIDE), Image.Resampling.NEAREST), f"probe, {SIZE} px"),
        (Image.fromarray(to_pixels(hallucinated.bicubic[0], black=0.0)), "bicubic"),
        (sharp_face(hallucinated, 0), "hallucinated"),
        (Image.fromarray(to_pixels(face.pixels)), "original"),
    ]
    save_picture(captioned_row(pictures, SIDE), file)


if __name__ == "__main__":
    draw_astronaut(Recognizer.from_checkpoint(*sys.argv[1:2]), DOCS / "astronaut.png")
