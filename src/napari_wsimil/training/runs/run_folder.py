"""The folder of a run: what it was made with, and whether it may be gone on with."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout

from napari_wsimil import __version__
from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Manifest
    from napari_wsimil.training.data.splits import Split

SETTINGS, MANIFEST, EVENTS, METRICS, PREDICTIONS = (
    "settings.json",
    "manifest.csv",
    "events.jsonl",
    "metrics.json",
    "predictions.csv",
)
JOURNAL, MODEL, PLOTS, REPORT, STORE = "journal", "model", "plots", "report.html", "features"
TENSORBOARD = "tensorboard"

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "safetensors", "h5py")


class RunFolder:
    """One run on disk.

    Parameters
    ----------
    path
        Made by `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, identity: Mapping[str, Any], about: Mapping[str, Any], manifest: str, *, resume: bool) -> bool:
        """Write what the run is, or check that the folder holds the same run; returns whether it goes on.

        Parameters
        ----------
        identity
            Whatever the result depends on, JSON-able: settings and data.
        about
            What else is worth keeping.
        manifest
            Text of `manifest.csv`.

        Raises
        ------
        TrainingError
            The folder holds a run and `resume` is off, or one with another identity; or it can't be written.
        """
        # as it comes back from the file
        wanted = json.loads(json.dumps(identity))
        kept = self._kept()
        if kept is None:
            self.refuse_foreign()
            self._write_first(wanted, about, manifest)
            return False
        if not resume:
            raise TrainingError(
                f"{self.path} holds a training already; go on with it (--resume, in Python resume=True) or choose another "
                "folder."
            )
        different = first_difference(kept, wanted)
        if different:
            raise TrainingError(
                f"{self.path} holds a training with {different}, so it can't be gone on with; repeat its settings, or choose "
                "another folder."
            )
        if not (self.path / MANIFEST).is_file():
            self._write_manifest(manifest)
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of the run until the block, or this process, ends.

        Raises
        ------
        TrainingError
            Another process is at it.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise TrainingError(f"{self.path} is being trained by another process; wait for it, or stop it first.") from error
        try:
            yield
        finally:
            lock.release()

    def write(self, name: str, document: Any) -> None:
        """Write a JSON document, whole or not at all."""
        with written_whole(self.path / name) as part:
            part.write_text(to_json(document), encoding="utf-8")

    def read(self, name: str) -> Any:
        """A JSON document, or None where there is none."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def _write_manifest(self, text: str) -> None:
        with written_whole(self.path / MANIFEST) as part:
            part.write_text(text, encoding="utf-8")

    def _kept(self) -> Mapping[str, Any] | None:
        try:
            found = self.read(SETTINGS)
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.path / SETTINGS} is damaged ({error}); choose another folder.") from error
        return None if found is None else found.get("identity", {})

    def refuse_held(self) -> None:
        """Raise `TrainingError` where another process is at the run."""
        with self.held():
            pass

    def refuse_foreign(self) -> None:
        """Raise `TrainingError` where other programs' files are; features computed already, and curves, may be there."""
        found = [entry.name for entry in self.path.iterdir()] if self.path.is_dir() else []
        if any(name not in (STORE, TENSORBOARD) and not name.startswith(".") for name in found):
            raise TrainingError(f"{self.path} is not empty and holds no training; choose a new or empty folder.")

    def _write_first(self, identity: Mapping[str, Any], about: Mapping[str, Any], manifest: str) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            document = {
                "identity": identity,
                **about,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": versions(),
            }
            # first: a folder with it is a run, and what is missing is written when that goes on
            self.write(SETTINGS, document)
            self._write_manifest(manifest)
        except OSError as error:
            raise TrainingError(f"{self.path} can't be written ({error.strerror}); choose another folder.") from error


def to_json(document: Any) -> str:
    """Text that people can read too."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def sha256(text: str) -> str:
    """Hex digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of this program, Python and the libraries that figures depend on."""
    found = {"napari-wsimil": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = str(torch.version.cuda)
    return found


def manifest_text(manifest: Manifest, split: Split) -> str:
    """The manifest as it was used, as CSV: all paths absolute, and the split of each slide."""
    sides = {
        case.name: side
        for side, cases in (("train", split.train), ("validation", split.validation), ("test", split.test))
        for case in cases
    }
    several = any(case.files for case in manifest.cases)
    rows = [["slide", "name", "label", "patient", "split", "annotation", "mpp", *(["files"] if several else [])]]
    for case in manifest.cases:
        if case.name not in sides:
            continue
        annotation = "" if case.annotation is None else str(case.annotation.resolve())
        row = [str(case.path.resolve()), case.name, case.label or "", case.patient, sides[case.name], annotation]
        row.append("" if case.mpp is None else f"{case.mpp:g}")
        rows.append([*row, *([";".join(str(path.resolve()) for path in case.files)] if several else [])])
    return _csv(rows)


def _csv(rows: list[list[str]]) -> str:
    from io import StringIO

    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def first_difference(kept: Mapping[str, Any], wanted: Mapping[str, Any], where: str = "") -> str:
    """What of the first entry that differs, for a sentence; empty where none does."""
    for name in dict.fromkeys([*kept, *wanted]):
        there, here = kept.get(name), wanted.get(name)
        label = f"{where}{name}"
        if there == here:
            continue
        if isinstance(there, dict) and isinstance(here, dict):
            return first_difference(there, here, f"{label} ")
        short = [str(value) for value in (there, here)]
        if max(map(len, short)) > 40:
            return f"other {label}"
        return f"{label} {short[0]}, not {short[1]}"
    return ""
