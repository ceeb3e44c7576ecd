"""What the disk says of the files of a list; each is looked at once, since that may take seconds in a network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_wsimil.errors import SlideWarning, WsimilError
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari_wsimil.training.data.drafting.rows import DraftRow

Kind: TypeAlias = Literal["slides", "features", "images", "annotations", "gone", "damaged"]


@dataclass(frozen=True)
class Look:
    """What one file is.

    Attributes
    ----------
    kind
        What can be trained on, or why it can't be: "gone", or "damaged" for what is there and does not open.
    told
        Why it does not open, in a sentence.
    mpp
        µm per pixel that it says: of level 0 of a slide, of the patches of a feature file; None where it does not.
    width, encoder
        Of features: numbers for each patch, and who made them, as far as the file says.
    side
        Of patch images: (height, width) of the first in pixels.
    real
        Where the file really is, links followed.
    """

    kind: Kind
    told: str = ""
    mpp: float | None = None
    width: int = 0
    encoder: str = ""
    side: tuple[int, int] = (0, 0)
    real: str | None = None


class Looks:
    """Looks at files, and remembers. Any thread may look; two that look at one file at once both do the work."""

    def __init__(self) -> None:
        self._known: dict[Path, Look] = {}

    def known(self, path: Path) -> Look | None:
        """What was found, or None before anybody looked."""
        return self._known.get(path)

    def at(self, path: Path) -> Look:
        """What a file is; looked at if nobody did."""
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = look_at(path)
        return found

    def again(self) -> None:
        """Forget what is wrong, so that it is looked at again: a disk may be back, a file copied anew."""
        self._known = {path: look for path, look in list(self._known.items()) if look.kind not in ("gone", "damaged")}

    def take(self, rows: Iterable[DraftRow], on_progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Look at all files of some rows; `on_progress` is called with how many are done, and of how many."""
        paths = [path for path in dict.fromkeys(files_of(rows)) if path not in self._known]
        for done, path in enumerate(paths):
            on_progress(done, len(paths))
            self.at(path)


def files_of(rows: Iterable[DraftRow]) -> list[Path]:
    """All files that rows name, regions drawn on slides too."""
    return [path for row in rows for path in (*row.sources, *([] if row.annotation is None else [row.annotation]))]


def look_at(path: Path) -> Look:
    """Look at one file; whatever is wrong with it is said in the answer."""
    try:
        if not path.exists():
            return Look("gone")
        return replace(_look(path), real=str(path.resolve()))
    except (WsimilError, OSError) as error:
        return Look("damaged", f"{error}".rstrip("."))


def _look(path: Path) -> Look:
    from napari_wsimil.training.data.drafting.sources import ANNOTATIONS, image_folder_side

    if path.suffix.lower() in ANNOTATIONS:
        return Look("annotations")  # what is drawn in it matters to a fine-tuning only, which reads it
    if path.suffix.lower() in FEATURE_SUFFIXES:
        # loads torch, for those that are there only
        from napari_wsimil.bags.feature_files import inspect_features

        file = inspect_features(path)
        return Look("features", mpp=file.mpp, width=file.width, encoder=f"{file.encoder} {file.encoder_digest}".strip())
    side = image_folder_side(path) if path.is_dir() else None
    return _slide(path) if side is None else Look("images", side=side)


def _slide(path: Path) -> Look:
    from napari_wsimil.slides import open_slide

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlideWarning)
        with open_slide(path) as slide:
            return Look("slides", mpp=None if slide.mpp is None else slide.mpp[0])
