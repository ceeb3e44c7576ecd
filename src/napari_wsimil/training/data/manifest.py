"""The manifest: which slides to learn from, and what is known of each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES, FeatureFolders, plain_name
from napari_wsimil.training.data.manifest_checks import check_patients, check_unique, classes_of
from napari_wsimil.training.data.tables import find_column, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("slide", "path", "wsi", "wsi_path", "slide_path", "image", "image_path", "filename", "file", "bag", "features"),
    "name": ("name", "slide_id", "wsi_id", "slide_name", "image_id"),
    "label": ("label", "class", "target", "category", "diagnosis", "y"),
    "patient": ("patient", "case_id", "patient_id", "case", "subject", "subject_id", "submitter_id"),
    "split": ("split", "set", "subset", "partition"),
    "fold": ("fold", "kfold", "cv_fold"),
    "annotation": ("annotation", "annotations", "annotation_path", "polygons", "geojson"),
    "mpp": ("mpp",),
    "files": ("files",),
}
"""What is asked of a manifest -> the headings under which it may stand, ours first and then those of other tools."""

SPLITS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "val", "valid", "dev", "tuning"),
    "test": ("test", "testing", "holdout", "held-out"),
}
SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
FILES_BETWEEN = ";"
"""Between the feature files of one slide, one for each magnification, in the column `files`."""


@dataclass(frozen=True)
class Case:
    """One slide of a manifest.

    Attributes
    ----------
    name
        Unique in the manifest.
    path
        Slide file, feature file (.h5, .pt) or folder of patch images.
    label
        Class in words; None only in a manifest read without labels.
    patient
        Slides of one patient never come into different splits; the name where the manifest does not say.
    split
        "train", "validation", "test" or None.
    fold
        In which fold of a cross-validation it is tested, or None.
    annotation
        File with polygons drawn on the slide, or None.
    mpp
        µm per pixel of level 0 where the slide does not say or is wrong, or None.
    files
        Feature files, one for each magnification, where there are several; empty: just `path`.
    slide
        The slide of which the features are, where the manifest names one that is here; None for slides themselves.
    """

    name: str
    path: Path
    label: str | None
    patient: str
    split: str | None = None
    fold: int | None = None
    annotation: Path | None = None
    mpp: float | None = None
    files: tuple[Path, ...] = ()
    slide: Path | None = None


@dataclass(frozen=True)
class Manifest:
    """The slides of a study: `path` of the table, its `cases`, and the `classes` in the order of the model's outputs."""

    path: Path
    cases: tuple[Case, ...]
    classes: tuple[str, ...]

    def target(self, case: Case) -> int:
        """Return the number of a case's class, -1 where its label is not known."""
        return -1 if case.label is None else self.classes.index(case.label)


def read_manifest(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    labelled: bool = True,
    features: str | Path | Sequence[str | Path] | None = None,
    gone: dict[str, str | None] | None = None,
) -> Manifest:
    """Read and check a manifest.

    Parameters
    ----------
    path
        CSV with a heading. Columns: slide (or path, wsi, ...) and label; name (slide_id), patient (case_id), split, fold,
        annotation and mpp may be there, others are ignored. Paths may be relative to the manifest or start with ``~``.
    classes
        The order of the classes; by default sorted, numbers by size.
    labelled
        Whether every slide needs a label.
    features
        Folder, or several, of feature files named like the slides: ours, TRIDENT's or CLAM's. Cases then point at these.
    gone
        Where given, lines whose file is gone are left out, and the name and the split of each are added here, instead of a
        complaint.

    Raises
    ------
    TrainingError
        The first fault found, with the file, the line and what to do.
    """
    source = Path(path).expanduser()
    columns, rows = read_table(source)
    found = {asked: find_column(columns, words) for asked, words in COLUMNS.items()}
    _check_columns(source, columns, found, labelled=labelled)
    folders = FeatureFolders([features] if isinstance(features, str | Path) else features) if features is not None else None
    cases, kept = [], []
    for row in rows:
        cells = {asked: row.cells.get(column, "") for asked, column in found.items() if column is not None}
        try:
            cases.append(_case(_Line(source, row.number, cells), folders, labelled=labelled))
            kept.append(row)
        except _GoneError:
            if gone is None:
                raise
            gone[cells.get("name") or plain_name(cells.get("path", ""))] = SPLIT_OF.get(cells.get("split", "").lower())
    rows = kept
    check_unique(source, cases, rows)
    check_patients(source, cases, rows)
    return Manifest(source, tuple(cases), classes_of(source, cases, rows, classes, labelled=labelled))


def _check_columns(source: Path, columns: Sequence[str], found: Mapping[str, str | None], *, labelled: bool) -> None:
    have = ", ".join(name for name in columns if name) or "none"
    if found["path"] is None and found["name"] is None:
        raise TrainingError(f"{source} has no column that names the slides (it has {have}); add a column 'slide' with paths.")
    if labelled and found["label"] is None:
        raise TrainingError(f"{source} has no column with the classes (it has {have}); add a column 'label'.")
    if found["split"] is not None and found["fold"] is not None:
        raise TrainingError(
            f"{source} has both a column {found['split']!r} and a column {found['fold']!r}; delete one: a split is for one "
            "training, folds are for a cross-validation."
        )


class _GoneError(TrainingError):
    """A file that a line names is not there."""


@dataclass(frozen=True)
class _Line:
    """One line of a manifest, and how to complain of it."""

    source: Path
    number: int
    cells: Mapping[str, str]

    def fault(self, text: str) -> TrainingError:
        return TrainingError(f"{self.source}, line {self.number}: {text}")

    def existing(self, text: str, what: str, hint: str) -> Path:
        """Path of a cell, relative to the manifest; something must be there."""
        path = Path(text)
        # neither every name can be one of a file, nor does everyone have a home
        with suppress(OSError, RuntimeError, ValueError):
            path = self.source.parent / path.expanduser()
            if path.exists():
                return path
        raise _GoneError(str(self.fault(f"there is no {what} {str(path)[:200]}; {hint}.")))


def _case(line: _Line, folders: FeatureFolders | None, *, labelled: bool) -> Case:
    cells = line.cells
    where = cells.get("path") or cells.get("name", "")
    if not where:
        raise line.fault("the slide is missing; write its path, or delete the line.")
    name = cells.get("name") or plain_name(where)
    label = cells.get("label") or None
    if labelled and label is None:
        raise line.fault(f"the label of {name} is missing; write its class, or delete the line.")
    files = _files(line, name, where, folders)
    return Case(
        name=name,
        path=files[0],
        label=label,
        patient=cells.get("patient") or name,
        split=_split(line),
        fold=_fold(line),
        annotation=_annotation(line),
        mpp=_mpp(line),
        files=files if len(files) > 1 else (),
        slide=_slide(line, where, files),
    )


def _files(line: _Line, name: str, where: str, folders: FeatureFolders | None) -> tuple[Path, ...]:
    if folders is None and line.cells.get("files"):
        several = filter(None, map(str.strip, line.cells["files"].split(FILES_BETWEEN)))
        return tuple(line.existing(text, "file", "correct the path") for text in several)
    if folders is not None:
        try:
            return folders.files(name, plain_name(where))
        except TrainingError as error:
            raise line.fault(f"{str(error)[:1].lower()}{str(error)[1:]}") from error
    hint = "correct the path" if line.cells.get("path") else "add a column 'slide' with paths, or give the folder of features"
    return (line.existing(where, "file", hint),)


def _slide(line: _Line, where: str, files: tuple[Path, ...]) -> Path | None:
    """The slide that a line names beside feature files, as far as it is here."""
    with suppress(TrainingError):
        named = line.existing(where, "file", "")
        return None if named in files or named.suffix.lower() in FEATURE_SUFFIXES else named
    return None


def _split(line: _Line) -> str | None:
    word = line.cells.get("split", "").lower()
    if not word:
        return None
    if word not in SPLIT_OF:
        raise line.fault(f"the split {word!r} is not known; write train, validation or test.")
    return SPLIT_OF[word]


def _fold(line: _Line) -> int | None:
    text = line.cells.get("fold", "")
    if not text:
        return None
    fold = read_fold(text)
    if fold is None:
        raise line.fault(f"the fold {text!r} is no whole number; write 0, 1, 2 ...")
    return fold


def read_fold(text: str) -> int | None:
    """Number of a fold as people and spreadsheets write it: 1, fold_1, 1.0; None where it is no such number."""
    digits = text.lower().removeprefix("fold").strip(" _-").removesuffix(".0")
    return int(digits) if digits.isdecimal() else None


def _annotation(line: _Line) -> Path | None:
    text = line.cells.get("annotation", "")
    if not text:
        return None
    return line.existing(text, "annotation file", "correct the path or leave the cell empty")


def _mpp(line: _Line) -> float | None:
    text = line.cells.get("mpp", "")
    if not text:
        return None
    mpp = read_mpp(text)
    if mpp is None:
        raise line.fault(f"the mpp {text!r} is no number of micrometres per pixel; write for example 0.25.")
    return mpp


def read_mpp(text: str) -> float | None:
    """µm per pixel as people write it, with a point or a comma; None where it is no such number."""
    try:
        mpp = float(text.replace(",", "."))
    except ValueError:
        return None
    return mpp if 0.01 <= mpp <= 100 else None
