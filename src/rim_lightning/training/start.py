"""Networks of an earlier run or of an exported model, from which a run of RIM starts."""

from pathlib import Path

from torch import nn

from rim_lightning.files import file_digest
from rim_lightning.inference.card import CARD
from rim_lightning.inference.model_folder import read_model
from rim_lightning.networks.checkpoints import load_network, load_rim
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.recognition import Learner
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.tiny_weights import flush_tiny_weights

ANOTHER_SHAPE = "in {path} has a different shape from the configured one: set model to the one it was trained with."


def start_digest(path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint, or of the card of a model, which holds the digests of its files.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    return file_digest(Path(path) / CARD if Path(path).is_dir() else path)


def start_hallucination(rim: RIM, path: str | Path) -> None:
    """Copy the hallucination network of another run, and its discriminator.

    Args:
        rim: The network to fill.
        path: Checkpoint of rim-train; or the folder of an exported model, which has no discriminator.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no RIM, or one of another shape.
    """
    exported = Path(path).is_dir()
    other = flush_tiny_weights(read_model(path).rim if exported else load_rim(path))
    try:
        rim.fhn.load_state_dict(other.fhn.state_dict())
        if not exported:
            rim.discriminator.load_state_dict(other.discriminator.state_dict())
    except RuntimeError as error:
        raise ValueError(f"The hallucination network {ANOTHER_SHAPE.format(path=path)}") from error


def start_students(rim: RIM, path: str | Path) -> None:
    """Copy student and assistant of another run; or make both of a distilled recognizer, without a head they lack.

    Args:
        rim: The network to fill.
        path: Checkpoint of rim-train, of RIM or of a recognizer; or the folder of an exported model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds neither, or networks of another shape.
    """
    other = flush_tiny_weights(read_model(path).rim if Path(path).is_dir() else load_network(path))
    try:
        if isinstance(other, RIM):
            rim.hrn.student.load_state_dict(other.hrn.student.state_dict())
            rim.hrn.assistant.load_state_dict(other.hrn.assistant.state_dict())
        elif isinstance(other, GuidedRecognizer):
            for learner in (rim.hrn.student, rim.hrn.assistant):
                _fill_learner(learner, other.learner)
        else:
            raise ValueError(f"{path} holds neither RIM nor a recognizer: set students_from to a checkpoint of one.")
    except RuntimeError as error:
        raise ValueError(f"The recognition network {ANOTHER_SHAPE.format(path=path)}") from error


def _fill_learner(learner: Learner, trained: nn.Module) -> None:
    weights = trained.state_dict()
    if learner.backbone.embed is None:
        weights = {name: value for name, value in weights.items() if not name.startswith("embed.")}
    learner.backbone.load_state_dict(weights)
