"""What was chosen in the form, for each method, as long as the dock lives; without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wsimil.training.runs.forms import FormField, MethodForm


class Chosen:
    """Values that differ from the defaults, and what is wrong with what was typed instead.

    Parameters
    ----------
    form
        The method that is chosen at first.
    """

    def __init__(self, form: MethodForm) -> None:
        self.form = form
        self._values: dict[str, dict[str, Any]] = {}
        self._problems: dict[str, dict[str, str]] = {}
        self._mpps: dict[str, tuple[float, ...]] = {}

    @property
    def values(self) -> dict[str, Any]:
        """Name of a field -> value, for the method that is chosen."""
        return self._values.setdefault(self.form.name, {})

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications of the method that is chosen, coarse to fine; empty: the usual ones."""
        return self._mpps.get(self.form.name, ())

    @mpps.setter
    def mpps(self, mpps: tuple[float, ...]) -> None:
        self._mpps[self.form.name] = tuple(sorted(mpps, reverse=True))

    @property
    def problem(self) -> str:
        """The first thing that is wrong, in one sentence; empty where nothing is."""
        return next(iter(self._wrong.values()), "")

    def value(self, field: FormField) -> Any:
        """What a field has now."""
        return self.values.get(field.name, field.default)

    def set(self, field: FormField, value: Any) -> str:
        """Choose a value; returns what is wrong with it, and keeps the one before then."""
        problem = field.problem(value)
        if problem:
            self.refuse(field, problem)
        else:
            self._wrong.pop(field.name, None)
            self.values.pop(field.name, None)
            if value != field.default:
                self.values[field.name] = value
        return problem

    def refuse(self, field: FormField, problem: str) -> None:
        """Remember that what was typed is no value of a field."""
        self._wrong[field.name] = problem

    def differs(self, field: FormField) -> bool:
        """Whether a field has another value than its default, or none that can be used."""
        return field.name in self.values or field.name in self._wrong

    def given(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What differs from the defaults, as a plan takes it: (hyper-parameters, settings of the training)."""
        own = {field.name for field in self.form.of_group("method")}
        values = self.values
        return (
            {name: value for name, value in values.items() if name in own},
            {name: value for name, value in values.items() if name not in own},
        )

    @property
    def _wrong(self) -> dict[str, str]:
        return self._problems.setdefault(self.form.name, {})
