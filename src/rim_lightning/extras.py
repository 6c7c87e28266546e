"""Optional packages: which extra of rim-lightning installs them, and one sentence where they are missing."""

from importlib.util import find_spec

EXTRAS = {
    "train": (
        "hydra",
        "omegaconf",
        "pytorch_lightning",
        "torchmetrics",
        "torchvision",
        "albumentations",
        "matplotlib",
        "pytorch_metric_learning",
        "onnx",
    ),
    "wandb": ("wandb",),
    "page": ("gradio", "matplotlib"),
    "serve": ("fastapi", "uvicorn", "python_multipart"),
    "gallery": ("lancedb", "pyarrow"),
    "export": ("onnxscript", "onnx"),
    "onnx": ("onnxruntime",),
    "packed": ("pyarrow",),
    "search": ("optuna",),
    "slurm": ("submitit",),
    "video": ("av", "scipy"),
    "report": ("reportlab",),
    "heic": ("pillow_heif",),
    "download": ("gdown",),
    "mtcnn": ("torchvision", "requests", "facenet_pytorch"),
}
"""Extra of rim-lightning -> the modules that must be there, by the names under which they are imported."""

FACENET_PYTORCH = "pip install --no-deps facenet-pytorch==2.6.0"
"""The extra "mtcnn" installs what facenet-pytorch imports; itself it asks for a torch and a numpy of 2024."""


class MissingExtra(ImportError):
    """Raised if an optional package is needed but not installed. Its message says how to install it."""


def require_extra(extra: str, purpose: str) -> None:
    """Check that the packages of an extra are installed. Imports nothing, so call it before any long work.

    Args:
        extra: A key of `EXTRAS`.
        purpose: What needs the packages, as the beginning of a sentence: "A gallery", "rim-train".

    Raises:
        MissingExtra: If a package is missing.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("sys.modules", lancedb=None):  # as if it were not installed
        ...     require_extra("gallery", "A gallery")
        Traceback (most recent call last):
            ...
        rim_lightning.extras.MissingExtra: A gallery needs lancedb, which is not installed: pip install \
'rim-lightning[gallery]'.
    """
    for module in EXTRAS[extra]:
        if find_spec(module) is None:
            raise MissingExtra(
                f"{purpose} needs {module}, which is not installed: {install_command(extra)}.", name=module
            )


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    command = f"pip install 'rim-lightning[{extra}]'"
    return f"{command} && {FACENET_PYTORCH}" if extra == "mtcnn" else command


def extra_of(module: str) -> str | None:
    """Return the smallest extra that installs a module; None if no extra does."""
    extras = [extra for extra, modules in EXTRAS.items() if module in modules]
    return min(extras, key=lambda extra: len(EXTRAS[extra]), default=None)
