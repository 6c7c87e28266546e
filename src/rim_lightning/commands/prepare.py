"""rim-prepare: prepare a data set, or all of them, from the command line."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from rim_lightning.commands.errors import Hints
from rim_lightning.commands.hydra_command import hydra_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rim_lightning.data.stores.prepared import PreparedStore

SHOWN_SKIPS = 20
"""Number of skipped pictures that are named on the screen. The manifest lists all of them."""

SHOWN_EXAMPLES = 3
"""Number of pictures that are named for each reason if more are skipped."""


def run(cfg: DictConfig) -> list[PreparedStore]:
    """Prepare the data set that `source` names, or each one if `source` is a group of data sets.

    Returns:
        The prepared stores.

    Raises:
        OSError: If the data are missing.
        ValueError: If the data are laid out differently, or a setting is wrong.
    """
    sources = [cfg.source] if "reader" in cfg.source else list(cfg.source.values())
    if len(sources) > 1 and cfg.output is not None:
        raise ValueError("output names one store; with several sources set paths.prepared_dir instead.")
    return [_prepare_source(cfg, source) for source in sources]


def _prepare_source(cfg: DictConfig, source: DictConfig) -> PreparedStore:
    from hydra.utils import get_method  # not at the top of the file: `--help` should not wait for it
    from omegaconf import OmegaConf

    from rim_lightning.data.preparation import prepare

    start = time.perf_counter()
    arguments: Any = OmegaConf.to_container(source.reader, resolve=True, throw_on_missing=True)
    read = get_method(arguments.pop("_target_"))
    store = prepare(
        read(**arguments),
        cfg.output or f"{cfg.paths.prepared_dir}/{source.name}_{cfg.hr_size}",
        name=source.name,
        hr_size=cfg.hr_size,
        margin=cfg.margin,
        alignment=cfg.alignment,
        landmarks=cfg.landmarks,
        workers=cfg.workers,
    )
    print(report(store, time.perf_counter() - start))
    return store


def report(store: PreparedStore, seconds: float) -> str:
    """Return a few lines: what a store holds, and which pictures were left out."""
    from rim_lightning.data.stores.prepared import (
        MANIFEST,  # not at the top of the file: `--help` should not wait for it
    )

    splits = Counter(store.splits)
    counts = ", ".join(f"{splits[split]} {split}" for split in ("train", "val", "test") if splits[split])
    labels = [*store.landmarks, *(["parsing"] if store.parsing is not None else [])]
    people = f", {len(store.identities)} people" if store.identities else ""
    skipped = store.manifest["skipped"]
    detected = sum(sample["detected"] for sample in store.manifest["samples"])
    lines = [
        f"{store.path}: {len(store)} images ({counts}){people}, labels: {', '.join(labels) or 'none'}, "
        f"{detected} found by detection, {len(skipped)} left out, {seconds:.1f} s"
    ]
    return "\n".join(lines + _left_out(skipped, len(store) + len(skipped), str(store.path / MANIFEST)))


def _left_out(skipped: list[dict[str, str]], count: int, manifest: str) -> list[str]:
    """Return a line for each picture that was left out; one for each reason if they are many.

    Args:
        skipped: Name and reason of each picture that was left out.
        count: Number of all pictures.
        manifest: File that names all of them.
    """
    kinds: dict[str, list[dict[str, str]]] = {}
    for entry in skipped:
        kinds.setdefault(entry["reason"].partition(" (")[0].partition(":")[0], []).append(entry)
    lines = [
        f"  {len(entries)} of {count} pictures have the same fault; it may be one of the whole source"
        for kind, entries in kinds.items()
        if kind.startswith("has landmarks") and 2 * len(entries) > count
    ]
    if len(skipped) <= SHOWN_SKIPS:
        return lines + [f"  left out {entry['name']}: {entry['reason']}" for entry in skipped]
    for entries in sorted(kinds.values(), key=len, reverse=True):
        names = ", ".join(entry["name"] for entry in entries[:SHOWN_EXAMPLES])
        more = f" and {len(entries) - SHOWN_EXAMPLES} more" if len(entries) > SHOWN_EXAMPLES else ""
        lines.append(f"  left out {names}{more}: {entries[0]['reason']}")
    return [*lines, f"  {manifest} names them all"]


@hydra_command("rim-prepare", Hints(value="<folder>"))
def main(cfg: DictConfig) -> None:
    """Prepare a data set, or all data sets."""
    run(cfg)


if __name__ == "__main__":
    main()
