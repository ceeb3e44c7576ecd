"""The slides that were corrected: their marks and labels, remembered in a small file until they are taken off the list."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Literal

from psygnal import Signal
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_wsimil.annotations.classes import plain_name, same_name
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE = "corrected.json"
NOT = "!"
IGNORE = "Ignore*"


class CorrectedSlide(BaseModel):
    """One slide of the list.

    Attributes
    ----------
    path, fingerprint
        Which slide.
    mpp
        µm per pixel of level 0 that the user typed in; None: as the file says.
    label
        The class that the user says the slide is of, or None.
    marks
        Name as drawn -> how many regions.
    file
        Where they were saved; None: in the user's cache, or beside the slide.
    """

    model_config = ConfigDict(frozen=True)
    path: Path
    fingerprint: str
    mpp: float | None = None
    label: str | None = None
    marks: dict[str, int] = Field(default_factory=dict)
    file: Path | None = None

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name

    @property
    def is_corrected(self) -> bool:
        """Whether there is anything to learn from."""
        return bool(self.marks) or self.label is not None


class _Kept(BaseModel):
    version: Literal[1] = 1
    slides: tuple[CorrectedSlide, ...] = ()


class CorrectedSlides:
    """The list, the slide that was corrected first on top; each change is in the file at once.

    Parameters
    ----------
    file
        Where it is kept; one that can't be read is taken for an empty list, as all in it can be marked again.

    Signals
    -------
    changed
        A slide came, went, or has other marks or another label.
    """

    changed = Signal()

    def __init__(self, file: Path) -> None:
        self._file = file
        self.slides = _read(file)

    def find(self, fingerprint: str) -> CorrectedSlide | None:
        """The slide of that fingerprint."""
        return next((one for one in self.slides if one.fingerprint == fingerprint), None)

    def put(self, slide: CorrectedSlide) -> None:
        """Remember a slide as it is now, and forget one that has neither marks nor a label."""
        before = self.find(slide.fingerprint)
        if slide == before or (before is None and not slide.is_corrected):
            return
        if before is None:
            self._set([*self.slides, slide])
        else:
            replaced = [slide if one is before else one for one in self.slides]
            self._set([one for one in replaced if one.is_corrected])

    def remove(self, fingerprint: str) -> None:
        """Take a slide off the list; what is drawn on it stays."""
        self._set([one for one in self.slides if one.fingerprint != fingerprint])

    def put_back(self, slides: Sequence[CorrectedSlide]) -> None:
        """Have the list as it was before."""
        self._set(slides)

    def _set(self, slides: Sequence[CorrectedSlide]) -> None:
        if tuple(slides) != self.slides:
            self.slides = tuple(slides)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._file) as part:
                part.write_text(_Kept(slides=self.slides).model_dump_json(indent=1), encoding="utf-8")
            self.changed.emit()


def _read(file: Path) -> tuple[CorrectedSlide, ...]:
    try:
        return _Kept.model_validate(json.loads(file.read_text(encoding="utf-8"))).slides
    except (OSError, ValueError, ValidationError):
        return ()


def drawn_name(kind: str, class_name: str) -> str:
    """What a region is called by which somebody says "is" or "is not" a class, or "ignore"."""
    return {"is": class_name, "is not": NOT + class_name, "ignore": IGNORE}[kind]


def teaches(name: str, classes: Sequence[str]) -> bool:
    """Whether a model of these classes can learn from a region of that name."""
    return same_name(name).removeprefix(NOT).removeprefix("not ") in map(same_name, classes)


def marks_text(marks: Mapping[str, int]) -> str:
    """Marks in few words: "2 not tumour, 1 ignored"."""
    return ", ".join(f"{count} {_told(name)}" for name, count in marks.items())


def why_not(slides: Sequence[CorrectedSlide], classes: Sequence[str]) -> str:
    """Why nothing can be learned from these slides, one sentence; "" where something can."""
    if not slides:
        return "Nothing is corrected yet: mark a region that the model got wrong, or say what the label of this slide is."
    known = [same_name(name) for name in classes]
    if any(one.label is not None and same_name(one.label) in known for one in slides):
        return ""
    if any(teaches(name, classes) for one in slides for name in one.marks):
        return ""
    marked = ", ".join(dict.fromkeys(_told(name) for one in slides for name in one.marks)) or "nothing"
    return (
        f"The model knows {' and '.join(classes)}, but what is marked is only: {marked}. Mark a region as one of these, "
        "or as none of them."
    )


def _told(name: str) -> str:
    if plain_name(name) == plain_name(IGNORE):
        return "ignored"
    return f"not {name.removeprefix(NOT)}" if name.startswith(NOT) else name
