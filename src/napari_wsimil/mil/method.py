"""What a MIL method is, for whoever lists methods or builds forms from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.mil.output import MILModel
    from napari_wsimil.mil.parameters import Parameters


@dataclass(frozen=True)
class Method:
    """A MIL method: `network(in_features, classes, **parameters)`.

    Attributes
    ----------
    name, title, source
        For files, for people, and the paper.
    summary
        One line: what it does, and when to use it.
    network
        Makes the network.
    parameters
        Hyper-parameters with range, default, help and source.
    shows
        What its output has beyond attention: of "class_attention", "anchors", "regions", "zoom", "instance_logits".
    magnifications
        Least and most magnifications of a bag that it uses; None: any number.
    head
        Names of the modules that classify slides, their parts or patches, with dots: all that fine-tuning of the head changes.
        What a network does not have, as with other hyper-parameters, is passed over.
    """

    name: str
    title: str
    source: str
    summary: str
    network: Callable[..., MILModel]
    parameters: type[Parameters]
    shows: frozenset[str] = frozenset()
    magnifications: tuple[int, int | None] = (1, 1)
    head: tuple[str, ...] = ("classifier",)

    def in_head(self, parameter: str) -> bool:
        """Whether a parameter of the network, by its name, belongs to the head."""
        return any(f"{parameter}.".startswith(f"{part}.") for part in self.head)
