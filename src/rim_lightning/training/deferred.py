"""Small device tensors that the host reads a step later, so that it never waits for the device to catch up."""

import torch
from torch import Tensor


class Deferred:
    """A copy of a tensor on its way to the host.

    Args:
        values: Tensor of any shape on any device. It may be changed afterwards.
    """

    def __init__(self, values: Tensor) -> None:
        values = values.detach()
        self._arrived: torch.cuda.Event | None = None
        if values.is_cuda:
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._host = values.cpu().clone()

    def read(self) -> Tensor:
        """Return the copy on the CPU. This waits for the work queued before it, and for nothing after it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host
