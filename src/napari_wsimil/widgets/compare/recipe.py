"""A comparison as Python and as a command."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING

from napari_wsimil.inference.comparable import matching_magnifications
from napari_wsimil.inference.comparison import compare
from napari_wsimil.widgets.recipes import Code, Recipe, following, following_two, python_call

if TYPE_CHECKING:
    from napari_wsimil.widgets.compare.choices import Request


def comparing(request: Request) -> Recipe:
    """How a comparison was made; what `ws.compare` would do by itself is left out."""
    first, second = request.first, request.second
    usual = signature(compare).parameters
    options = {name: value for name, value in request.options().items() if value != usual[name].default}
    if options["mpps"] == matching_magnifications(first.prediction, second.prediction, request.what):
        del options["mpps"]
    title = f"Compare {first.name} with {second.name}"
    command = {("class" if name == "class_name" else name): value for name, value in options.items() if name != "mpps"}
    command["mpp"] = list(options.get("mpps", ()))
    if first.prediction is second.prediction:
        lines = [_call("prediction", "prediction", options), "print(comparison.verdict)"]
        return following(title, first.prediction, lines, "compare", **command)
    lines = [_call("first", "second", options), "print(comparison.verdict)"]
    return following_two(title, first.prediction, second.prediction, lines, "compare", **command)


def _call(first: str, second: str, options: dict[str, object]) -> str:
    return f"comparison = {python_call('compare', Code(first), Code(second), **options)}"
