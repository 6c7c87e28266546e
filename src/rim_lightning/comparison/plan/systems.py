"""What is compared: every system, how it is trained, and where its result is kept."""

from typing import Literal, NamedTuple


class System(NamedTuple):
    """One trained system.

    Attributes:
        name: key. kind: whose learning rates it tries, and which figure of the validation faces chooses among them.
        experiment: of rim-train. overrides: more of its settings.
        after: system whose hallucination network it starts from; the time of that one is part of its own.
        teacher_of: recognizer that is its teacher, in place of the pretrained one; its time comes on top.
        rate_of: system whose chosen learning rate it takes; None: it tries the grid itself.
        seeds: one run each.
    """

    name: str
    kind: Literal["hallucination", "recognition", "scratch"]
    experiment: str
    overrides: tuple[str, ...] = ()
    after: str | None = None
    teacher_of: str | None = None
    rate_of: str | None = None
    seeds: tuple[int, ...] = (0,)


class Grid(NamedTuple):
    """Learning rates that every system of a kind tries.

    Attributes:
        settings: of rim-train, that take the rate. values: the rates.
        merits: figures of the validation faces in `metrics.json`: the first that is there chooses, more is better.
    """

    settings: tuple[str, ...]
    values: tuple[float, ...]
    merits: tuple[str, ...]
