"""rim_lightning.comparison.laboratory.cost."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rim_lightning.comparison.laboratory.readings import parts_of
from rim_lightning.networks.rim import RIM


def faces_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Enlarged probes -> hallucinated faces, of RIM or of a super_resolver."""
    return (lambda enlarged: network.fhn(enlarged).sr) if isinstance(network, RIM) else network


@torch.no_grad()
def _cost(network: nn.Module, part: str, hr_size: int) -> dict[str, float]:
    probe = torch.zeros(16, 3, hr_size, hr_size)
    used: dict[str, nn.Module]
    if part == "sr_face":
        run = faces_of(network)
        used = {"fhn": network.fhn} if isinstance(network, RIM) else {"all": network}
    elif isinstance(network, RIM):
        hrn = network.hrn
        reads = {
            "sr": parts_of(network, "sr"),
            "student": lambda x: hrn.probe(network.fhn(x).sr, assistant=False),
            "probe": network.embed_probe,
        }
        run = reads[part]
        used = {"fhn": network.fhn} | ({"head": hrn.teacher.backbone.embed} if hrn.head == "teacher" else {})
        used |= {
            "student": {"student": hrn.student},
            "probe": {"student": hrn.student, "assistant": hrn.assistant},
        }.get(part, {"teacher": hrn.teacher})
    else:
        run, used = network.embed_probe, {"learner": network.learner}
    with FlopCounterMode(display=False) as counter:
        run(probe[:1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(4):
        started = time.process_time()  # of this process: whatever else the machine does
        run(probe)
        seconds.append(time.process_time() - started)
    torch.set_num_threads(threads)
    weights = {id(weight): weight.numel() for module in used.values() for weight in module.parameters()}
    return {
        "parameters": sum(weights.values()),
        "gflop": counter.get_total_flops() / 1e9,
        "faces_per_s": len(probe) / sorted(seconds)[1],
    }
