"""Milliseconds per face with torch on the CPU, with onnxruntime, and with torch on a GPU if there is one.

    python benchmarks/probe_time.py my_model

All cases take turns, `ROUNDS` times, so that other work of the machine slows all of them alike. The output has the
median and the range over the rounds. In each round a case first runs once untimed, while the threads of the case before
come to rest. The faces are aligned already; `detectors.py` measures the search for faces.
"""

import statistics
import sys
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import onnxruntime
import torch

from rim_lightning.inference.model_folder import read_model
from rim_lightning.inference.onnx_export import OnnxEmbedder, OnnxHallucination

ROUNDS = 7
FACES = 32  # in a round
PARTS = {"probe_embedder": "probe", "gallery_embedder": "gallery", "super_resolver": None}


def torch_case(part, faces, sizes, threads):
    if faces.device.type == "cpu":
        torch.set_num_threads(threads)
    with torch.inference_mode():
        part(faces, sizes)
    if faces.device.type == "cuda":
        torch.cuda.synchronize()


def onnx_session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def main():
    folder = Path(sys.argv[1])
    model = read_model(folder)
    rim = model.rim
    cases = {}
    for batch in (1, FACES):
        faces = torch.randint(0, 256, (batch, rim.hr_size, rim.hr_size, 3), dtype=torch.uint8)
        sizes = torch.full((batch,), float(rim.lr_size))
        for name, side in PARTS.items():
            part = (OnnxEmbedder(rim, side, model.usage) if side else OnnxHallucination(rim)).eval()
            for threads in (1, 2):
                cases[name, f"torch, {threads} threads", batch] = partial(torch_case, part, faces, sizes, threads)
                session = onnx_session(folder / f"{name}.onnx", threads)
                cases[name, f"onnxruntime, {threads} threads", batch] = partial(
                    session.run, None, {"face": faces.numpy(), "size": sizes.numpy()}
                )
            if torch.cuda.is_available():
                on_gpu = deepcopy(part).cuda()
                on_gpu_too = (faces.cuda(), sizes.cuda())
                cases[name, torch.cuda.get_device_name(), batch] = partial(torch_case, on_gpu, *on_gpu_too, 0)
    times = {case: [] for case in cases}
    for round_number in range(ROUNDS + 1):
        for case, call in cases.items():
            call()
            calls = FACES // case[2]
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if round_number:  # the first warms up
                times[case].append(1000 * (time.perf_counter() - start) / (calls * case[2]))
    print(f"| network | runs on | one face | {FACES} faces, each |\n|---|---|---|---|")
    for name, where in dict.fromkeys(case[:2] for case in cases):
        cells = []
        for batch in (1, FACES):
            milliseconds = times[name, where, batch]
            median = statistics.median(milliseconds)
            cells.append(f"{median:.0f} ms ({min(milliseconds):.0f} … {max(milliseconds):.0f})")
        print(f"| {name} | {where} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
