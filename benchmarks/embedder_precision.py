"""Does a lower precision of the embedder of probes pay? Time and error rates by size of the probe.

    rim export rim_128 my_model
    python benchmarks/embedder_precision.py my_model prepared/celeba_128 prepared/faces_128

Cases: convolutions in INT8 (static quantization of onnxruntime; ranges from 128 faces of training people), torch in
bf16, and OpenVINO if it is installed (`pip install openvino`), in fp32 and in the precision that it chooses. All
take turns at the same faces on one thread. Rates are over all pairs of 240 pictures of each set's validation people,
with probes of cameras and sharp gallery faces, which are embedded in full precision. Nothing is chosen by them.
"""

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from rim_lightning.data.dataset import FaceDataset, face_batches
from rim_lightning.data.stores.packed import open_store
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.functional.verification import tar_at_far
from rim_lightning.inference.model_folder import read_model
from rim_lightning.inference.onnx_export import OnnxEmbedder

SIZES = (8, 16, 28)
BATCH = 32
CALIBRATION_FACES = 128
CAMERA = ProbeKind("camera", "detector")
ROUNDS = 7
IMAGES = 240  # of each set


def inputs_of(hr, size, seeds):
    """Return probes as the ONNX files take them."""
    probes = seeded_probes(hr, size, CAMERA, seeds)
    return {"face": np.stack([to_pixels(probe) for probe in probes]), "size": np.full(len(hr), size, np.float32)}


class TrainingProbes(CalibrationDataReader):
    """Probes of training people, by which onnxruntime measures the range of each layer."""

    def __init__(self, store):
        faces = FaceDataset(store, store.select("train")[:CALIBRATION_FACES])
        self.batches = (
            inputs_of(batch.hr, SIZES[number % len(SIZES)], batch.index.tolist())
            for number, batch in enumerate(face_batches(faces, 8, "cpu", "calibration"))
        )

    def get_next(self):
        return next(self.batches, None)


def session(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def by_onnxruntime(file):
    run = session(file).run
    return lambda inputs: run(None, inputs)[0]


def by_torch(part, bf16):
    def embed(inputs):
        tensors = [torch.from_numpy(inputs[name]) for name in ("face", "size")]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return part(*tensors).float().numpy()

    return embed


def by_openvino(file, precision):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1} | ({"INFERENCE_PRECISION_HINT": precision} if precision else {})
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda inputs: compiled(inputs)[0]


def cases_of(folder, scratch, store):
    """Return the ways of embedding: name -> function of inputs."""
    file, quantized = folder / "probe_embedder.onnx", scratch / "int8.onnx"
    quantize_static(
        str(file), str(quantized), TrainingProbes(store), QuantFormat.QDQ, op_types_to_quantize=["Conv"],
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    print(f"weights: {file.stat().st_size / 1e6:.1f} MB, INT8 {quantized.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    model = read_model(folder)
    part = OnnxEmbedder(model.rim, "probe", model.usage).eval()
    cases = {
        "onnxruntime": by_onnxruntime(file),
        "onnxruntime, INT8": by_onnxruntime(quantized),
        "torch": by_torch(part, bf16=False),
        "torch, bf16": by_torch(part, bf16=True),
    }
    try:
        cases["OpenVINO, fp32"] = by_openvino(file, "f32")
        cases["OpenVINO, its own choice"] = by_openvino(file, None)
    except ImportError:
        print("OpenVINO is not installed.", file=sys.stderr)
    return cases


def embedded(cases, gallery, stores):
    """Return people (N,), gallery embeddings (N, E), and size -> case -> probe embeddings (N, E)."""
    people, sharp, probes = [], [], {size: {name: [] for name in cases} for size in SIZES}
    for number, store in enumerate(stores):
        for batch in face_batches(FaceDataset(store, store.select("val")[:IMAGES]), BATCH, "cpu", store.path.name):
            people.append(batch.identity + 1_000_000 * number)
            sharp.append(gallery({"face": np.stack([to_pixels(face) for face in batch.hr]),
                                  "size": np.full(len(batch.hr), store.hr_size, np.float32)}))  # fmt: skip
            for size in SIZES:
                inputs = inputs_of(batch.hr, size, batch.index.tolist())
                for name, embed in cases.items():
                    probes[size][name].append(embed(inputs))
    joined = {
        size: {name: np.concatenate(parts) for name, parts in of_size.items()} for size, of_size in probes.items()
    }
    return torch.cat(people), np.concatenate(sharp), joined


def rates(probes, sharp, people):
    """Return TAR at a FAR of 1e-2 and 1e-3 over all pairs of two pictures."""
    scores = F.normalize(torch.from_numpy(probes)) @ F.normalize(torch.from_numpy(sharp)).T
    same = people[:, None] == people
    others = ~torch.eye(len(people), dtype=torch.bool)
    return [tar_at_far(scores[others], same[others], far)[0] for far in (1e-2, 1e-3)]


def timed(cases, store):
    """Return case -> text with the milliseconds a face, one by one and in batches; all cases take turns."""
    batch = next(iter(face_batches(FaceDataset(store, store.select("val")[:BATCH]), BATCH, "cpu", "time")))
    times = {(name, count): [] for name in cases for count in (1, BATCH)}
    for round_number in range(ROUNDS + 1):
        for (name, count), found in times.items():
            call = partial(cases[name], inputs_of(batch.hr[:count], 16, batch.index[:count].tolist()))
            call()
            repeats = 4 if count == 1 else 1
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            if round_number:
                found.append(1000 * (time.perf_counter() - start) / (repeats * count))
    return {
        key: f"{statistics.median(found):.0f} ({min(found):.0f} … {max(found):.0f})" for key, found in times.items()
    }


def main():
    torch.set_num_threads(1)
    folder, stores = Path(sys.argv[1]), [open_store(Path(place)) for place in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as scratch:
        cases = cases_of(folder, Path(scratch), stores[0])
        milliseconds = timed(cases, stores[0])
        people, sharp, probes = embedded(cases, by_onnxruntime(folder / "gallery_embedder.onnx"), stores)
    print(f"{len(people)} faces of {len(people.unique())} people, cosine to onnxruntime in fp32: mean (least)\n")
    header = " | ".join(f"{size} px: cosine | TAR at 1e-2 | at 1e-3" for size in SIZES)
    print(f"| | ms a face, alone | in batches of {BATCH} | {header} |\n|{'---|' * (3 + 3 * len(SIZES))}")
    for name in cases:
        cells = [name, milliseconds[name, 1], milliseconds[name, BATCH]]
        for size in SIZES:
            cosine = (
                F.normalize(torch.from_numpy(probes[size][name])) * torch.from_numpy(probes[size]["onnxruntime"])
            ).sum(1)
            cells += [
                f"{cosine.mean():.4f} ({cosine.min():.3f})",
                *(f"{rate:.3f}" for rate in rates(probes[size][name], sharp, people)),
            ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
