"""What trains in a stage, what stands still, and where the weights come from."""

from collections.abc import Sequence

from torch import Tensor, nn

from caer.engine.optim import match
from preprocessing.errors import UserError


def trainable_parameters(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
    """Parameters whose names a pattern matches in full, in the model's order.

    Raises:
        UserError: a pattern matches none; the message lists the model's parts.
    """
    parameters = dict(model.named_parameters())
    chosen = {name for pattern in patterns for name in match(pattern, parameters, "trainable")}
    return {name: parameter for name, parameter in parameters.items() if name in chosen}


def freeze_all_but(model: nn.Module, names: Sequence[str] | dict[str, nn.Parameter]) -> None:
    """Let exactly the named parameters require gradients."""
    chosen = set(names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
        if name not in chosen:
            parameter.grad = None


def set_training(model: nn.Module) -> None:
    """Put what trains into train mode and all else into eval mode.

    A module with parameters of which none trains is in eval mode with everything below it: BatchNorm does not touch its
    statistics, dropout does nothing. A module without parameters (dropout, pooling) goes with what holds it.
    """
    _set_training(model, holder=True)


def _set_training(module: nn.Module, holder: bool) -> None:
    parameters = list(module.parameters())
    trains = any(p.requires_grad for p in parameters) if parameters else holder
    module.training = trains
    for child in module.children():
        _set_training(child, trains)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Trainable and total numbers of parameters."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)


def load_part(model: nn.Module, part: str, state: dict[str, Tensor], where: str) -> None:
    """Fill one part (`face`, `context`, `fusion`) from a run's state dict in place.

    Raises:
        UserError: that run does not have the part, or it is another model's.
    """
    module = getattr(model, part, None)
    if module is None:
        raise UserError(f"init.{part}: this stage's model has no part {part!r}")
    mine, prefix = module.state_dict(), f"{part}."
    theirs = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not theirs:
        have = sorted({name.split(".")[0] for name in state})
        raise UserError(f"init.{part}: {where} has no part {part!r}; it has {', '.join(have)}")
    wrong = [n for n in mine if n not in theirs or theirs[n].shape != mine[n].shape] + [n for n in theirs if n not in mine]
    if wrong:
        raise UserError(
            f"init.{part}: {where} holds another model's {part} ({len(wrong)} of {len(mine)} tensors differ, first: {wrong[0]}); "
            f"train that stage with this config's backbone and tasks"
        )
    module.load_state_dict(theirs)
