"""Milliseconds a face, of torch on the CPU, of onnxruntime, and of torch on a GPU where there is one.

    python benchmarks/probe_time.py my_model

Every case runs in turn, `ROUNDS` times over, so that what else the machine does falls on all of them alike; the median
and the range of the rounds are shown. In each round a case first runs once untimed, while the threads of the one before
go to rest. Faces are aligned already: the search for a face is `small_faces.py`'s.
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
from rim_lightning.inference.onnx_export import Embedder, SuperResolver

ROUNDS = 7
FACES = 32  # of a round
PARTS = {"probe_embedder": "probe", "gallery_embedder": "gallery", "super_resolver": None}


def torch_case(part, faces, threads):
    if faces.device.type == "cpu":
        torch.set_num_threads(threads)
    with torch.inference_mode():
        part(faces)
    if faces.device.type == "cuda":
        torch.cuda.synchronize()


def onnx_session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def main():
    folder = Path(sys.argv[1])
    rim = read_model(folder).rim
    cases = {}
    for batch in (1, FACES):
        faces = 2 * torch.rand(batch, 3, rim.hr_size, rim.hr_size) - 1
        for name, side in PARTS.items():
            part = (Embedder(rim, side) if side else SuperResolver(rim)).eval()
            for threads in (1, 2):
                cases[name, f"torch, {threads} threads", batch] = partial(torch_case, part, faces, threads)
                session = onnx_session(folder / f"{name}.onnx", threads)
                cases[name, f"onnxruntime, {threads} threads", batch] = partial(
                    session.run, None, {"face": faces.numpy()}
                )
            if torch.cuda.is_available():
                on_gpu = deepcopy(part).cuda()
                cases[name, torch.cuda.get_device_name(), batch] = partial(torch_case, on_gpu, faces.cuda(), 0)
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
            taken = times[name, where, batch]
            cells.append(f"{statistics.median(taken):.0f} ms ({min(taken):.0f} … {max(taken):.0f})")
        print(f"| {name} | {where} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
