"""Settings and paths as Hydra's command line takes them. No other module writes quotes for Hydra."""

import re
from collections.abc import Mapping
from pathlib import Path


def quoted(text: str | Path) -> str:
    r"""Return a text as a quoted value of Hydra's command line. It may hold any characters but "${".

    Hydra reads a backslash before a quote, or at the end, as an escape; any other backslash stands for itself.

    Raises:
        ValueError: If the text holds "${", which OmegaConf reads as a reference, again in each setting that takes it.

    Example:
        >>> print(quoted("/data/it's a=b"))
        '/data/it\'s a=b'
    """
    if "${" in str(text):
        raise ValueError(f'{text} holds "${{", which Hydra reads as a reference to a setting: rename the folder.')
    escaped = re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), str(text))
    return f"'{escaped}'"


def override(setting: str, value: float | str | Path | Mapping[str, str]) -> str:
    """Return `<setting>=<value>` as Hydra's command line takes it. Texts and paths are `quoted` if they need it."""
    if isinstance(value, Mapping):
        return f"{setting}={{{', '.join(f'{name}: {quoted(text)}' for name, text in value.items())}}}"
    if isinstance(value, Path) and re.fullmatch(r"/[A-Za-z0-9_./-]+", str(value)):
        return f"{setting}={value}"
    return f"{setting}={quoted(value) if isinstance(value, str | Path) else value}"


def unquoted(override_text: str) -> tuple[str, str]:
    """Return setting and value of an override for people to read: without "+", "~" and the quotes around the value."""
    key, _, value = override_text.lstrip("+~").partition("=")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return key, value
