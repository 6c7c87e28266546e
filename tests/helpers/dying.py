"""A loader process that dies while it cuts faces."""

import os
import signal
from pathlib import Path

import numpy as np


class Dying:
    """Take the center of the picture. Once the file `orders` exists, die of SIGKILL, as for lack of memory."""

    def __init__(self, hr_size: int, orders: str) -> None:
        self.hr_size, self.orders = hr_size, Path(orders)

    def __call__(self, image: np.ndarray, parsing: np.ndarray, points: dict, seed: int) -> tuple:
        if self.orders.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        start = (image.shape[0] - self.hr_size) // 2
        crop = slice(start, start + self.hr_size)
        return image[crop, crop], parsing[crop, crop], {name: xy - start for name, xy in points.items()}
