"""The methods by name: what a model package may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_wsimil.errors import ModelError
from napari_wsimil.mil.abmil import ABMIL, ABMILParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from napari_wsimil.mil.output import MILModel


@dataclass(frozen=True)
class Method:
    """A MIL method: `network(in_features, classes, **parameters)`.

    Attributes
    ----------
    name, title, source
        For files, for people, and the paper.
    network
        Makes the network.
    parameters
        Hyper-parameters with range, default, help and source.
    """

    name: str
    title: str
    source: str
    network: Callable[..., MILModel]
    parameters: type[BaseModel]


METHODS: dict[str, Method] = {
    method.name: method
    for method in (Method("abmil", "Gated attention (ABMIL)", "https://arxiv.org/abs/1802.04712", ABMIL, ABMILParameters),)
}


def build_mil(name: str, in_features: int, classes: int, parameters: Mapping[str, Any] | None = None) -> MILModel:
    """Make the network of a method, its weights random.

    Raises
    ------
    ModelError
        The method is not known or a hyper-parameter is out of range.
    """
    if name not in METHODS:
        raise ModelError(f"The MIL method {name!r} is not known; this version has {', '.join(METHODS)}.")
    method = METHODS[name]
    try:
        chosen = method.parameters.model_validate(dict(parameters or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"The hyper-parameter {where!r} of {name} can't be used: {first['msg']}.") from error
    return method.network(in_features, classes, **chosen.model_dump())
