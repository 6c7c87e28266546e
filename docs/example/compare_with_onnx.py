"""Compare two faces with onnxruntime and OpenCV alone: no torch, nothing of this package.

rim faces cctv.png --json > cctv.json    # or any other detector that finds the same five points
rim faces passport.png --json > passport.json
python compare_with_onnx.py my_model cctv.png cctv.json passport.png passport.json
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def embed(model, side, picture, points):
    """Return the embedding (E,) of the face at five points (5, 2); side is "probe" or "gallery"."""
    session = onnxruntime.InferenceSession(Path(model) / f"{side}_embedder.onnx")
    told = session.get_modelmeta().custom_metadata_map
    pixels, template = int(told["rim_side"]), np.array(json.loads(told["rim_template"]))
    image = cv2.imread(str(picture))
    if image is None:
        sys.exit(f"{picture} is missing, or no picture.")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    middle, target = points.mean(0), template.mean(0)
    p, q = (points - middle) @ [1, 1j], (template - target) @ [1, 1j]
    turn = np.vdot(p, q) / np.vdot(p, p).real  # scale and rotation that map the points to the template
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    if abs(turn) < 1:  # a large face: average its pixels first
        height, width = image.shape[:2]
        image = cv2.resize(image, (round(width * abs(turn)), round(height * abs(turn))), interpolation=cv2.INTER_AREA)
        shrunk = np.array([image.shape[1] / width, image.shape[0] / height])
        middle, linear = (middle + 0.5) * shrunk - 0.5, linear / shrunk
    matrix = np.column_stack([linear, target - linear @ middle])
    face = cv2.warpAffine(image, matrix, (pixels, pixels), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    size = np.array([pixels / abs(turn)], dtype=np.float32)
    return session.run(None, {"face": face[None], "size": size})[0][0]


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    model, *given = sys.argv[1:]
    found = [np.array(json.loads(Path(file).read_text())["faces"][0]["points"]) for file in given[1::2]]
    probe, gallery = (embed(model, *each) for each in zip(("probe", "gallery"), given[::2], found, strict=True))
    print(f"similarity {probe @ gallery:.4f}")
