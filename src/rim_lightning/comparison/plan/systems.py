"""What is compared: how every system is trained, and which learning rates it tries."""

from typing import Literal, NamedTuple


class System(NamedTuple):
    """One trained system.

    Attributes:
        name: Key of the system.
        kind: Kind whose learning rates it tries.
        experiment: Experiment of rim-train.
        overrides: More settings of rim-train.
        after: Name of the system whose hallucination network it starts from. The training time of that one counts.
        teacher_of: Name of the recognizer that is its teacher instead of the pretrained one. The training time of that
            one does not count.
        rate_of: Name of the system whose chosen learning rate it takes; None: it tries the grid itself.
        seeds: One run each.
        runs: Folders of finished runs of rim-train, which are measured in place of runs of these seeds; nothing is
            trained for this system then.
    """

    name: str
    kind: Literal["hallucination", "recognition", "scratch"]
    experiment: str
    overrides: tuple[str, ...] = ()
    after: str | None = None
    teacher_of: str | None = None
    rate_of: str | None = None
    seeds: tuple[int, ...] = (0,)
    runs: tuple[str, ...] = ()


class Allowance(NamedTuple):
    """What each recognition system may spend on its training, one kind for all systems.

    Attributes:
        kind: "faces" that it sees, "work" in TFLOP, or a "budget" in minutes. It is a setting of rim-train.
        amount: How much, with the hallucination network that it starts from.
    """

    kind: Literal["faces", "work", "budget"]
    amount: float


class Grid(NamedTuple):
    """Learning rates that every system of a kind tries.

    Attributes:
        settings: Settings of rim-train that take the rate.
        values: The rates.
        merits: Names of figures of the validation faces in `metrics.json`. The first one that a run has chooses the
            rate; higher is better.
    """

    settings: tuple[str, ...]
    values: tuple[float, ...]
    merits: tuple[str, ...]
