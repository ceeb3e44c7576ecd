"""Which weights of a finished model change, and that nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import METHODS, MILModel
from napari_wsimil.mil.adapted import Adapted

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.training.fine_tuning.settings import Tune


def tunable(network: MILModel, method: str, in_features: int, tune: Tune) -> MILModel:
    """Return the network, behind a new adapter where it needs one, of which only what is to be tuned has gradients.

    Parameters
    ----------
    network
        Of a model package, adapted or not; changed in place.
    method
        A name in `mil.METHODS`.
    in_features
        Length of a feature vector.

    Raises
    ------
    TrainingError
        There is nothing of the kind in the network.
    """
    if tune == "adapter" and not isinstance(network, Adapted):
        network = Adapted(network, in_features)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_changes(name, METHODS[method].in_head, tune, adapted=isinstance(network, Adapted)))
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise TrainingError(f"A network of {method} has no {tune} to tune; tune all of it or an adapter.")
    return network


def _changes(name: str, in_head: Callable[[str], bool], tune: Tune, *, adapted: bool) -> bool:
    if tune == "all":
        return True
    of_adapter = adapted and name.startswith("adapter.")
    if tune == "adapter":
        return of_adapter
    return not of_adapter and in_head(name.removeprefix("network.") if adapted else name)


def train_mode(network: MILModel) -> None:
    """Training mode, but for parts that stay as they are: no dropout there, and normalisations keep their statistics.

    What a method itself does otherwise in training (noise, masks, random splits) it does still.
    """
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not isinstance(module, MILModel) and not any(p.requires_grad for p in parameters):
            module.eval()


def changed_count(network: MILModel) -> tuple[int, int]:
    """Return how many numbers change, and how many there are."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, changes in sizes if changes), sum(size for size, _ in sizes)
