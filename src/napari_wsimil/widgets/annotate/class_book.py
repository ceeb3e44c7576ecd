"""The classes that the user draws: those of the model first, then the user's own, which are kept between sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_wsimil.annotations.classes import DrawnClass, class_colour, colours_of, offered_classes, same_name
from napari_wsimil.widgets.preferences import annotation_preferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_wsimil.annotations.classes import Colour

KEYS = 9
"""So many classes have a key, 1 to 9."""


class ClassBook:
    """A list of classes without two of the same name; "Tumor" is "tumour" here.

    Signals
    -------
    changed
        Classes came, went, or have another name or colour.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._own = _kept()
        self._of_model: tuple[str, ...] = ()
        self._drawn: tuple[str, ...] = ()
        self._lent: tuple[str, ...] = ()
        self.classes: tuple[DrawnClass, ...] = ()
        self._gather()

    def meet(self, of_model: Sequence[str], drawn: Iterable[str]) -> None:
        """Take in the classes of a model, and those of regions that are there."""
        found = tuple(of_model), tuple(dict.fromkeys(name for name in drawn if name))
        if found != (self._of_model, self._drawn):
            self._of_model, self._drawn = found
            self._gather()

    def find(self, name: str) -> DrawnClass | None:
        """The class of that name, however it is spelled."""
        return next((one for one in self.classes if same_name(one.name) == same_name(name)), None)

    def colour(self, name: str) -> Colour:
        """The colour of a class."""
        found = self.find(name)
        return class_colour(name, len(self.classes)) if found is None else found.colour

    def is_of_model(self, name: str) -> bool:
        """Whether the model knows the class, which can't be renamed or removed then."""
        return same_name(name) in map(same_name, self._of_model)

    def add(self, name: str) -> DrawnClass | None:
        """Add a class; None where there is one of that name, or it is empty."""
        name = _typed(name)
        if not name or self.find(name):
            return None
        colour = colours_of([name], self.classes)[name]
        self._keep([*self._own, DrawnClass(name, colour)])
        return self.find(name)

    def lend(self, name: str) -> str:
        """Have a class until the window closes, as it is spelled here; the user's own stay as they are."""
        if self.find(name) is None:
            self._lent = (*self._lent, name)
            self._gather()
        found = self.find(name)
        return name if found is None else found.name

    def remove(self, name: str) -> None:
        """Take a class away; regions keep it, and with them it would come again."""
        self._lent = tuple(one for one in self._lent if same_name(one) != same_name(name))
        self._drawn = tuple(one for one in self._drawn if same_name(one) != same_name(name))
        self._keep([one for one in self._own if same_name(one.name) != same_name(name)])

    def rename(self, old: str, new: str) -> bool:
        """Give a class another name; False where there is one of that name, or it is empty."""
        new = _typed(new)
        found, other = self.find(old), self.find(new)
        if not new or found is None or (other is not None and other != found):
            return False
        renamed = DrawnClass(new, found.colour)
        self._drawn = tuple(new if same_name(one) == same_name(old) else one for one in self._drawn)
        self._keep([renamed if same_name(one.name) == same_name(old) else one for one in self._with(found)])
        return True

    def recolour(self, name: str, colour: Colour) -> None:
        """Give a class another colour."""
        found = self.find(name)
        if found is not None:
            self._keep([DrawnClass(one.name, colour) if one.name == found.name else one for one in self._with(found)])

    def _with(self, one: DrawnClass) -> list[DrawnClass]:
        """The user's own, with a class of the model or of a file among them, spelled as it is shown."""
        others = [own for own in self._own if same_name(own.name) != same_name(one.name)]
        place = next((at for at, own in enumerate(self._own) if same_name(own.name) == same_name(one.name)), len(self._own))
        return [*others[:place], one, *others[place:]]

    def _keep(self, own: list[DrawnClass]) -> None:
        self._own = own
        annotation_preferences().classes = "; ".join(f"{one.name} #{bytes(one.colour).hex()}" for one in own)
        self._gather()

    def _gather(self) -> None:
        own = {same_name(one.name): one for one in self._own}
        names: dict[str, str] = {}
        for name in (*self._of_model, *(one.name for one in self._own), *self._lent, *self._drawn):
            names.setdefault(same_name(name), name)
        known = [DrawnClass(name, own[key].colour) for key, name in names.items() if key in own]
        colours = colours_of(list(names.values()), known)
        self.classes = tuple(DrawnClass(name, colours[name]) for name in names.values())
        self.changed.emit()


def _typed(name: str) -> str:
    """A name in one line, without what stands between classes where they are kept."""
    return " ".join(name.replace(";", " ").split())


def _kept() -> list[DrawnClass]:
    """The classes of the preferences, or those that are offered at first."""
    found = []
    for line in annotation_preferences().classes.split(";"):
        name, _, colour = line.strip().rpartition(" #")
        if name.strip() and len(colour) == 6 and all(digit in "0123456789abcdefABCDEF" for digit in colour):
            found.append(DrawnClass(name.strip(), (int(colour[:2], 16), int(colour[2:4], 16), int(colour[4:], 16))))
    return found or list(offered_classes())
