"""Another method's network made narrow, to sum up the short tokens that a method leaves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from napari_wsimil.mil.output import MILModel


def narrow_network(name: str, in_features: int, classes: int, width: int) -> MILModel:
    """Make the network of a method that looks at one magnification, of `width` wherever it has a width to choose.

    Attentions, comparisons and landmarks get half of it, as TransMIL's landmarks are half of its width; all else is as the
    method's default.

    Raises
    ------
    ModelError
        There is no such method, it looks at several magnifications, or it is itself one that needs the places of patches.
    """
    from napari_wsimil.mil.registry import METHODS, build_mil  # the registry imports the methods that use this

    fit = narrowable()
    if name not in fit:
        raise ModelError(f"{name!r} can't sum up patches for another method; attention, {', '.join(fit)} can.")
    half = max(1, width // 2)
    widths = dict.fromkeys(("hidden", "projection", "student"), width) | dict.fromkeys(
        ("attention", "query", "landmarks"), half
    )
    chosen = widths | {"heads": math.gcd(width, 4)}
    fields = METHODS[name].parameters.model_fields
    fitting = {key: value for key, value in chosen.items() if key in fields and fields[key].annotation is int}
    return build_mil(name, in_features, classes, fitting)


def narrowable() -> list[str]:
    """Names of the methods of which `narrow_network` makes networks, sorted."""
    from napari_wsimil.mil.registry import METHODS

    return sorted(key for key, method in METHODS.items() if method.magnifications == (1, 1) and "regions" not in method.shows)
