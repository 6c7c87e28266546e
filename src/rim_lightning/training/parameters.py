"""Parameters of every phase: each trainable parameter belongs to exactly one phase."""

from collections.abc import Sequence

from torch import nn

from rim_lightning.training.phases import Phase


def split_parameters(module: nn.Module, phases: Sequence[Phase]) -> dict[str, list[nn.Parameter]]:
    """Return the trainable parameters of every phase, in the order of its modules.

    Args:
        module: The training module, whose parts the phases name.
        phases: The phases.

    Returns:
        Phase -> parameters. Every trainable parameter is in exactly one list.

    Raises:
        ValueError: If a trainable parameter belongs to no phase or to two phases.
    """
    owner: dict[nn.Parameter, str] = {}
    split: dict[str, list[nn.Parameter]] = {}
    for phase in phases:
        split[phase.name] = []
        for name in phase.modules:
            for parameter in module.get_submodule(name).parameters():
                if not parameter.requires_grad:
                    continue
                if parameter in owner:
                    raise ValueError(
                        f"A parameter of {name} belongs to the phases {owner[parameter]} and {phase.name}."
                    )
                owner[parameter] = phase.name
                split[phase.name].append(parameter)
    orphans = [
        name for name, parameter in module.named_parameters() if parameter.requires_grad and parameter not in owner
    ]
    if orphans:
        raise ValueError(f"No phase trains {', '.join(orphans[:5])}: freeze it or add it to a phase.")
    return split
