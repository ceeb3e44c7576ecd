"""The methods by name: what a model package, a form or a command may ask for."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_wsimil.errors import ModelError
from napari_wsimil.mil import methods

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.mil.method import Method
    from napari_wsimil.mil.output import MILModel


def _found() -> dict[str, Method]:
    modules = (importlib.import_module(f"{methods.__name__}.{entry.name}") for entry in pkgutil.iter_modules(methods.__path__))
    found: list[Method] = [module.METHOD for module in modules if not module.__name__.rpartition(".")[2].startswith("_")]
    return {method.name: method for method in sorted(found, key=lambda method: method.name)}


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


METHODS = _found()
"""Name -> method: every module of `mil.methods` gives one."""
