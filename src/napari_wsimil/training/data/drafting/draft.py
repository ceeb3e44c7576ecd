"""A list of slides in the making: edited at will, undone at will, written as a manifest when it is ready."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.drafting.checking import examine
from napari_wsimil.training.data.drafting.dealing import Shares
from napari_wsimil.training.data.drafting.lenient import read_leniently
from napari_wsimil.training.data.drafting.looks import Looks
from napari_wsimil.training.data.drafting.rows import SIDES, place, renamed
from napari_wsimil.training.data.drafting.sources import rows_in_folder, rows_of_slides
from napari_wsimil.training.data.drafting.steps import DraftState, Steps
from napari_wsimil.training.data.manifest_writing import write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_wsimil.training.data.drafting.checking import Examination
    from napari_wsimil.training.data.drafting.dealing import SplitCount
    from napari_wsimil.training.data.drafting.problems import Problem
    from napari_wsimil.training.data.drafting.rows import DraftRow
    from napari_wsimil.training.data.drafting.sources import Found, LabelsFrom


class Draft(Steps):
    """Slides with their labels, patients and splits, as far as they are known.

    Rows are named by their `key`. Every method that changes something is one step, which `undo` takes back. Nothing here knows
    a window, and nothing but `settle`, `problems`, `split_table`, `write` and the `add_` methods takes time.

    Attributes
    ----------
    looks
        What the disk told of the files; shared by all steps.
    manifest
        The file that the draft was read from, or saved to, last; None: it has none.
    notices
        Sentences on what was found when the draft was begun.
    on_change
        Called after each change; set it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.looks = Looks()
        self.manifest: Path | None = None
        self.notices: tuple[str, ...] = ()
        self._saved = self._state
        self._examined: tuple[DraftState, Examination] | None = None
        self._next = 0

    @property
    def labels(self) -> list[str]:
        """All labels that were given, also to slides that are left out, for people to choose from."""
        return sorted({row.label for row in self._state.rows if row.label}, key=str.casefold)

    @property
    def changed(self) -> bool:
        """Whether something was changed that is in no file."""
        return self._state is not self._saved and bool(self._state.rows)

    # ---- slides

    def add_manifest(self, path: str | Path) -> tuple[str, ...]:
        """Add the slides of a CSV; whatever is not as it should be is a problem later, and does not refuse the file.

        Returns
        -------
        Sentences on what was left out or could not be understood.

        Raises
        ------
        TrainingError
            It can't be read at all, or names no slides in any column.
        """
        rows, notices = read_leniently(path)
        return notices + self.take(rows, manifest=path)

    def add_folder(self, folder: str | Path, *, labels: LabelsFrom = "auto") -> tuple[str, ...]:
        """Add the slides of a folder and all below it: slides, else feature files, else folders of patch images.

        Parameters
        ----------
        labels
            "folders": the name of the folder that a slide lies in is its label; "auto": where that can be meant; "none".

        Returns
        -------
        Sentences on what was found besides.

        Raises
        ------
        WsimilError
            There is nothing in it.
        """
        found: Found = rows_in_folder(folder, labels=labels)
        return found.notices + self.take(found.rows)

    def add_slides(self, paths: Iterable[str | Path], *, label: str = "") -> tuple[str, ...]:
        """Add slides, with the regions that were saved beside them."""
        return self.take(rows_of_slides(paths, label=label))

    def take(self, rows: Iterable[DraftRow], *, manifest: str | Path | None = None) -> tuple[str, ...]:
        """Add rows that somebody made; those whose file is in the list already are left out, which a sentence says.

        Parameters
        ----------
        manifest
            The file that they are from: all of it is taken, what is in it twice too.
        """
        given, old = list(rows), self._state.rows
        there = {place(source) for row in old for source in row.sources}
        new = [row for row in given if not there.intersection(map(place, row.sources))]
        taken = {row.name.casefold() for row in old}
        new = renamed(new, taken) if manifest is None or old else new
        if manifest is not None and not old:
            self.manifest = Path(manifest).expanduser()
            self.on_change()
        if new:
            keyed = [replace(row, key=self._next + number) for number, row in enumerate(new)]
            self._next += len(keyed)
            kept = not self._state.dealt or any(row.part for row in new)
            self._step(replace(self._state, rows=(*old, *keyed), dealt=not kept))
            if manifest is not None and not old:
                self._saved = self._state
        twice = len(given) - len(new)
        if not twice:
            return ()
        return (f"{twice:,} slide{'s are' if twice > 1 else ' is'} in the list already.",)

    def remove(self, rows: Iterable[int]) -> None:
        """Take rows off the list."""
        gone = set(rows)
        self._step(replace(self._state, rows=tuple(row for row in self._state.rows if row.key not in gone)))

    def clear(self) -> None:
        """Take all off the list, and begin anew; that, too, can be undone."""
        self.manifest = None
        self._step(DraftState())

    def use(self, rows: Iterable[int], used: bool) -> None:
        """Let slides take part, or leave them out; those stay in the list."""
        self._change(rows, used=used)

    # ---- what is known of them

    def set_label(self, rows: Iterable[int], label: str) -> None:
        """Give slides a label; "" takes it away."""
        self._change(rows, label=" ".join(label.split()))

    def set_patient(self, rows: Iterable[int], patient: str) -> None:
        """Say whose the slides are; "": each of a patient of its own."""
        self._change(rows, patient=" ".join(patient.split()))

    def set_split(self, rows: Iterable[int], split: str) -> None:
        """Put slides into training, validation or test, or "" for none; all others stay where they are.

        Raises
        ------
        TrainingError
            It is no such word.
        """
        if split not in ("", *SIDES):
            raise TrainingError(f"The split {split!r} is not known; choose train, validation or test.")
        wanted = set(rows)
        changed = tuple(replace(row, split=split if row.key in wanted else row.split, fold=None) for row in self._state.rows)
        self._step(replace(self._state, rows=changed, dealt=False))

    def set_annotation(self, rows: Iterable[int], annotation: Path | None) -> None:
        """Say which file holds the regions drawn on slides."""
        self._change(rows, annotation=annotation)

    def set_mpp(self, rows: Iterable[int], mpp: float | None) -> None:
        """Say how many µm a pixel of level 0 measures; None: what the slide says.

        Raises
        ------
        TrainingError
            It can't be so many.
        """
        if mpp is not None and not 0.01 <= mpp <= 100:
            raise TrainingError(f"{mpp:g} is no number of micrometres per pixel; give for example 0.25.")
        self._change(rows, mpp=mpp)

    def relocate(self, paths: Mapping[int, Sequence[Path]]) -> None:
        """Say where slides are now: key -> its file, or its files."""
        self.edit({key: {"path": files[0], "files": tuple(files) if len(files) > 1 else ()} for key, files in paths.items()})

    def rename(self, names: Mapping[int, str]) -> None:
        """Call slides otherwise: key -> name."""
        self.edit({key: {"name": name} for key, name in names.items()})

    def edit(self, cells: Mapping[int, Mapping[str, Any]]) -> None:
        """Change several things of several slides in one step: key -> {name of an attribute: what it is to be}."""
        rows = tuple(replace(row, **cells[row.key]) if row.key in cells else row for row in self._state.rows)
        by_hand = any("split" in cell for cell in cells.values())
        if any(cell.get("split") for cell in cells.values()):
            rows = tuple(replace(row, fold=None) for row in rows)  # folds are instead of sides, not beside them
        self._step(replace(self._state, rows=rows, dealt=self._state.dealt and not by_hand))

    # ---- sides

    def deal(self, validation: float | None = None, test: float | None = None, seed: int | None = None) -> None:
        """Let the program deal the slides out, by patients and classes, now and after each change.

        Parameters
        ----------
        validation, test
            Shares of all slides; None: as before.
        seed
            Another number, another way; None: as before.
        """
        old = self._state.shares
        shares = Shares(
            old.validation if validation is None else validation,
            old.test if test is None else test,
            old.seed if seed is None else seed,
        )
        self._step(replace(self._state, shares=shares, dealt=True))

    # ---- what comes of it

    def examine(self) -> Examination:
        """Deal out what is to be dealt, and look for all that a training would refuse; looks at each file once."""
        if self._examined is None or self._examined[0] is not self._state:
            self.accept(self._state, examine(self._state, self.looks))
        assert self._examined is not None  # noqa: S101 - just now
        return self._examined[1]

    def accept(self, state: DraftState, found: Examination) -> bool:
        """Take over what a check elsewhere found out about a state; False, and nothing is done, where it is another by now."""
        if state is not self._state:
            return False
        if found.rows != state.rows:
            saved = self._saved is state
            self._state = replace(state, rows=found.rows)
            self._saved = self._state if saved else self._saved
        if found.finished:
            self._examined = (self._state, found)
        return True

    def look_again(self) -> None:
        """Look once more at the files with which something was wrong."""
        self.looks.again()
        self._examined = None
        self.on_change()

    def problems(self) -> list[Problem]:
        """What a training would refuse, with ways on; the serious ones first."""
        return list(self.examine().problems)

    def split_table(self) -> list[SplitCount]:
        """Slides and patients on each side, by class."""
        return list(self.examine().sides)

    def write(self, path: str | Path) -> Path:
        """Write the slides that take part as a manifest that `read_manifest` reads; those left out stay in the draft.

        Raises
        ------
        TrainingError
            No slide takes part, or the file can't be written.
        """
        self.examine()
        return write_manifest([row.case() for row in self._state.rows if row.used], Path(path).expanduser())

    def saved(self, path: Path) -> None:
        """Note that all there is now is in a file of the user."""
        self.manifest, self._saved = path, self._state

    def _change(self, rows: Iterable[int], **changes: Any) -> None:
        wanted = set(rows)
        changed = tuple(replace(row, **changes) if row.key in wanted else row for row in self._state.rows)
        self._step(replace(self._state, rows=changed))


def draft_manifest(source: str | Path, *, labels: LabelsFrom = "auto") -> Draft:
    """Begin a list of slides to train on, from a folder or from a manifest that need not be in order.

    Parameters
    ----------
    source
        Folder of slides, feature files or folders of patch images; or a CSV.
    labels
        Of a folder, see `Draft.add_folder`.

    Raises
    ------
    WsimilError
        There is nothing in it.
    """
    draft, path = Draft(), Path(source).expanduser()
    draft.notices = draft.add_folder(path, labels=labels) if path.is_dir() else draft.add_manifest(path)
    return draft
