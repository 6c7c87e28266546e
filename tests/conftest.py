"""What holds for the whole test suite."""

import gc
import logging
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: the last file must not keep one process busy while the others have ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Take back what a command that ran in this process did to the logs: its handlers write into what is closed."""
    root = logging.root
    level = root.level
    handlers = [handler for handler in root.handlers if not getattr(getattr(handler, "stream", None), "closed", False)]
    root.handlers = list(handlers)
    yield
    root.setLevel(level)
    root.handlers = [handler for handler in root.handlers if handler in handlers]


def pytest_collection_finish() -> None:
    """Spare the garbage collector the libraries and tests, which stay until the end. It saves a quarter of the time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let the interpreter take all of it apart at its end, as ever."""
    gc.unfreeze()
