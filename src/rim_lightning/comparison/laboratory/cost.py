"""What the inference of one face costs: parameters, arithmetic, time."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from rim_lightning.comparison.laboratory.readings import as_hallucinator, as_recognizer
from rim_lightning.evaluation.hallucination import hallucinate
from rim_lightning.functional.arithmetic import flop_counter
from rim_lightning.networks.rim import RIM

BATCH = 16


@torch.no_grad()
def measure_cost(network: nn.Module, part: str, hr_size: int) -> dict[str, float]:
    """Measure the inference of one face by a part of a system.

    Args:
        network: The system, on the CPU and in eval mode.
        part: "sr_face" is the hallucinated face. "sr", "student" and "probe" are embeddings, see `embed_part`.
        hr_size: Side of the enlarged probe in pixels.

    Returns:
        "parameters" that the part uses, "gflop" (a multiply-add counts two) and "faces_per_s" of one CPU thread in
        batches of 16.
    """
    probes = torch.zeros(BATCH, 3, hr_size, hr_size)
    sizes = torch.full((BATCH,), hr_size // 8)  # the cost is the same for every size
    if part == "sr_face":
        hallucinator = as_hallucinator(network)
        run: Callable[[Tensor, Tensor], Tensor] = partial(hallucinate, hallucinator)
        modules: list[nn.Module] = [hallucinator.fhn if isinstance(hallucinator, RIM) else hallucinator]
    else:
        run, modules = _embedding(network, part)
    with flop_counter() as counter:
        run(probes[:1], sizes[:1])
    weights = {id(weight): weight.numel() for module in modules for weight in module.parameters()}
    return {
        "parameters": sum(weights.values()),
        "gflop": counter.get_total_flops() / 1e9,
        "faces_per_s": BATCH / _seconds(partial(run, probes, sizes)),
    }


def _embedding(network: nn.Module, part: str) -> tuple[Callable[[Tensor, Tensor], Tensor], list[nn.Module]]:
    """Return the function that embeds probes with a part, and the networks that it goes through."""
    recognizer = as_recognizer(network)
    if not isinstance(recognizer, RIM):
        return recognizer.embed_probe, [recognizer.learner]
    hrn = recognizer.hrn
    head = hrn.teacher.backbone.embed  # None in a network without that head
    networks: list[nn.Module] = [recognizer.fhn, *([head] if hrn.head == "teacher" and head is not None else [])]
    if part == "sr":
        return partial(_teacher_on_sr, recognizer), [*networks, hrn.teacher]
    if part == "student":
        return recognizer.embed_by_student, [*(networks if hrn.reads_sr(False) else networks[1:]), hrn.student]
    if not hrn.reads_sr():
        networks = networks[1:]
    return recognizer.embed_probe, [*networks, hrn.student, hrn.assistant]


def _teacher_on_sr(rim: RIM, enlarged: Tensor, sizes: Tensor) -> Tensor:
    return rim.embed_gallery(rim.fhn(enlarged, sizes).sr)


def _seconds(run: Callable[[], Tensor]) -> float:
    """Return the processor time of one thread for a batch: the second fastest of four."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(4):
        started = time.process_time()  # of this process: other work on the machine does not count
        run()
        seconds.append(time.process_time() - started)
    torch.set_num_threads(threads)
    return sorted(seconds)[1]
