"""Resolution Invariant Model (RIM, arXiv 1905.10777): cross-resolution face recognition.

`Recognizer` verifies, searches and hallucinates faces with a trained model. `load_rim` loads the network of a
checkpoint. Both are imported on first use, so that `import rim_lightning` is quick.
"""

TYPE_CHECKING = False  # type checkers take it for True; importing typing would take longer than all the rest

if TYPE_CHECKING:
    from rim_lightning.inference.recognizer import Recognizer
    from rim_lightning.networks.checkpoints import load_rim

    __version__: str

__all__ = ["Recognizer", "__version__", "load_rim"]

_MODULES = {
    "Recognizer": "rim_lightning.inference.recognizer",
    "load_rim": "rim_lightning.networks.checkpoints",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name == "__version__":
        value: object = _installed_version()
    elif name in _MODULES:
        from importlib import import_module  # not at the top of the file, for the same reason

        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next access finds it without this function
    return value


def __dir__() -> list[str]:
    """List the public names too, although they are not imported yet."""
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    from importlib import metadata  # not at the top of the file: it takes longer than the rest of this package

    try:
        return metadata.version("rim-lightning")
    except metadata.PackageNotFoundError:  # the sources are on the path, but the package is not installed
        return "unknown"
