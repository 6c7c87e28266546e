"""The check of a device that the user chose, before a model is loaded."""


def check_device(device: str, option: str) -> None:
    """Check that PyTorch has a device.

    Args:
        device: Device as PyTorch calls it.
        option: How the setting is written before its value, for the message: "--device " or "device=".

    Raises:
        ValueError: If there is none of that name here.
    """
    import torch  # not at the top of the file: `--help` should not wait for it

    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not number.isdecimal()):
        raise ValueError(f"{option}{device} is not a device of PyTorch: choose cpu, cuda, cuda:1 or mps.")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if int(number or 0) >= counts[kind]:
        raise ValueError(f"{option}{device}, but PyTorch finds no such {kind.upper()} device here: set {option}cpu.")
