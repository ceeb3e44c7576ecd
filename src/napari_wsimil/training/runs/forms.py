"""What a form must know of a method: its hyper-parameters and the settings of its training, from the registries.

Importing this loads PyTorch, as the registries do: a window does so in a worker.
"""

from __future__ import annotations

import types
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import METHODS
from napari_wsimil.mil.narrow import narrowable
from napari_wsimil.training.recipes import RECIPES
from napari_wsimil.training.runs.plan import usual_mpps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

Kind = Literal["whole", "number", "switch", "choice", "text"]
Group = Literal["main", "method", "training"]

MAIN = ("epochs", "learning_rate", "patience", "balanced", "seed")
"""Settings that most people change, in the order of a form."""

MAGNIFICATIONS = "magnifications"
"""A hyper-parameter that forms leave out: as many as there are magnifications."""

TITLES = {
    "accumulate": "Slides per step",
    "balanced": "Balance classes",
    "clip": "Largest gradient",
    "patience_from": "Epochs at least",
    "schedule": "Learning rate falls",
    "schedule_at": "Falls before epochs",
    "schedule_end": "Falls to",
    "schedule_factor": "Falls by factor",
    "schedule_patience": "Falls after epochs",
    "select": "Best epoch by",
    "select_from": "Best epoch from",
}
"""What settings are called that their names do not explain."""

WORDS = {"balanced": {"none": "No", "sampling": "Draw rare classes more often", "loss": "Let rare classes weigh more"}}
"""What choices are called that their names do not explain."""

NAMES_OF_METHODS = {"aggregator": lambda: ("attention", *narrowable())}
"""Texts of which only some mean anything."""


@dataclass(frozen=True)
class FormField:
    """One hyper-parameter or setting.

    Attributes
    ----------
    name, title
        As plans name it; for people.
    kind
        A whole number, a number, on or off, one of `choices`, or a text that `read` understands.
    group
        Changed by most people, or one of the method's, or of its training.
    default
        What is taken where nothing is chosen.
    help, source, guess
        What it does; where the default comes from; whether that is our reconstruction.
    least, most
        Limits, or None.
    above, below
        The limit itself is outside.
    choices, words
        All that a choice may be, and what each is called.
    annotation
        Its type, with limits, as pydantic checks it.
    """

    name: str
    title: str
    kind: Kind
    group: Group
    default: Any
    help: str
    source: str
    guess: bool
    least: float | None
    most: float | None
    above: bool
    below: bool
    choices: tuple[str, ...]
    words: tuple[str, ...]
    annotation: Any

    def problem(self, value: Any) -> str:
        """Why it can't have a value, in one sentence; empty where it can."""
        try:
            TypeAdapter(self.annotation).validate_python(value)
        except ValidationError:
            return f"{self.title} can't be {_shown(value) or 'empty'}: it takes {self.range()}."
        return "" if not self.choices or value in self.choices else f"{self.title} takes {self.range()}, not {value!r}."

    def read(self, text: str) -> Any:
        """The value that somebody typed.

        Raises
        ------
        TrainingError
            It can't have it; one sentence says what it takes.
        """
        kind = _without_none(self.annotation)
        parts = [part.strip() for part in text.replace(";", ",").strip(" ,()[]").split(",") if part.strip()]
        try:
            numbers = [_number(part) for part in parts] if kind is not str else []
        except ValueError as error:
            raise TrainingError(f"{self.title} can't be {text.strip()!r}: it takes {self.range()}.") from error
        value: Any = text.strip()
        if get_origin(kind) is tuple:
            value = tuple(numbers)
        elif kind is not str:
            value = None if not numbers else numbers[0] if len(numbers) == 1 else tuple(numbers)
        problem = self.problem(value)
        if problem:
            raise TrainingError(problem)
        return value

    def shown(self, value: Any) -> str:
        """A value in words; that of a number or a text is what `read` understands."""
        return self.words[self.choices.index(value)] if value in self.choices else _shown(value)

    def range(self) -> str:
        """What it takes, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.words)
        if self.kind == "switch":
            return "on or off"
        kind = _without_none(self.annotation)
        what = "a whole number" if self.kind == "whole" else "a number"
        if get_origin(kind) is tuple:
            of, *rest = get_args(kind)
            what = f"{'whole ' if of is int else ''}numbers with commas between"
            what = f"{len(rest) + 1} {what}" if rest != [...] else what
        elif kind is str:
            what = "a text"
        words = [what, *self._limits()]
        return " ".join(words) + (" (or nothing)" if kind is not _without_limits(self.annotation) else "")

    def about(self) -> str:
        """Help, range, default and where it comes from, in lines."""
        default = self.shown(self.default) or "none"
        guess = " A guess: the source does not state it." if self.guess else ""
        return f"{self.help}\nTakes {self.range()}. Default: {default}.\nFrom: {self.source}.{guess}"

    def _limits(self) -> list[str]:
        words = []
        if self.least is not None:
            words.append(f"{'above' if self.above else 'from'} {_shown(self.least)}")
        if self.most is not None:
            words.append(f"{'below' if self.below else 'to' if words and not self.above else 'up to'} {_shown(self.most)}")
        return [" and ".join(words)] if self.above or self.below else words


@dataclass(frozen=True)
class MethodForm:
    """A method as a form shows it.

    Attributes
    ----------
    name, title, summary, source
        See `Method`.
    magnifications
        Least and most that it is trained at; None: any number.
    fields
        Those that most people change, then the method's, then the rest.
    """

    name: str
    title: str
    summary: str
    source: str
    magnifications: tuple[int, int | None]
    fields: tuple[FormField, ...]

    def field(self, name: str) -> FormField:
        """One of the fields by its name."""
        return next(field for field in self.fields if field.name == name)

    def of_group(self, group: Group) -> tuple[FormField, ...]:
        """The fields of a group, in their order."""
        return tuple(field for field in self.fields if field.group == group)

    def usual_mpps(self, finest: float) -> tuple[float, ...]:
        """The magnifications that are taken where none is chosen, for an encoder trained at `finest` µm per pixel."""
        return usual_mpps(self.name, finest, {})


def method_form(name: str) -> MethodForm:
    """What a form must know of a method that can be trained; `name` is one of `RECIPES`."""
    method, recipe = METHODS[name], RECIPES[name]
    settings = _fields(recipe.settings.model_fields, "training")
    parameters = _fields(method.parameters.model_fields, "method")
    main = sorted((field for field in settings if field.group == "main"), key=lambda field: MAIN.index(field.name))
    rest = [field for field in settings if field.group != "main"]
    return MethodForm(
        name=name,
        title=method.title,
        summary=method.summary,
        source=method.source,
        magnifications=method.magnifications if recipe.stages is None else (2, 2),
        fields=(*main, *parameters, *rest),
    )


def method_forms() -> tuple[MethodForm, ...]:
    """All methods that can be trained, those that look at one magnification before the others, by name."""
    forms = [method_form(name) for name in METHODS if name in RECIPES]
    return tuple(sorted(forms, key=lambda form: (form.magnifications != (1, 1), form.name)))


def _fields(found: Mapping[str, FieldInfo], group: Group) -> list[FormField]:
    return [_field(name, info, group) for name, info in found.items() if name != MAGNIFICATIONS]


def _field(name: str, info: FieldInfo, group: Group) -> FormField:
    extra: Any = info.json_schema_extra or {}
    annotation: Any = info.annotation
    choices = tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()
    choices = NAMES_OF_METHODS[name]() if name in NAMES_OF_METHODS else choices
    limits = {limit: value for part in info.metadata for limit, value in asdict(part).items()}
    return FormField(
        name=name,
        title=TITLES.get(name) or name.replace("_", " ").capitalize(),
        kind="choice" if choices else _kind(annotation),
        group="main" if group == "training" and name in MAIN else group,
        default=info.default,
        help=info.description or "",
        source=str(extra.get("source", "")),
        guess=bool(extra.get("guess", False)),
        least=limits.get("ge", limits.get("gt")),
        most=limits.get("le", limits.get("lt")),
        above="gt" in limits,
        below="lt" in limits,
        choices=choices,
        words=tuple(WORDS.get(name, {}).get(choice) or choice.replace("_", " ") for choice in choices),
        annotation=Annotated[(annotation, *info.metadata)] if info.metadata else annotation,
    )


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _kind(annotation: Any) -> Kind:
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number"}
    return kinds.get(annotation, "text")


def _without_limits(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _without_none(annotation: Any) -> Any:
    plain = _without_limits(annotation)
    if get_origin(plain) in (Union, types.UnionType):
        return next(part for part in get_args(plain) if part is not type(None))
    return plain


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:.10g}"
    if isinstance(value, tuple | list):
        return ", ".join(map(_shown, value))
    return str(value)
