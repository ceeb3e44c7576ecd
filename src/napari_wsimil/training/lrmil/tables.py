"""What stages keep of slides: a folder for each, a file for each table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class SlideTables:
    """Tables of slides by row and name; large ones are mapped into memory, not read.

    Stage 1 keeps `children` (Nc, r) int64 rows of the fine patches in each coarse one, -1 where there is none, `corners`
    (Nc, 2) int64 of the coarse patches, and in the form "encoder" `features` (N, D) float32 and `layers` (N, sum of D_l)
    float16 of the fine ones. Stage 2 keeps the teacher's `attention` (N,) and `logits` (C,), stage 4 the `features` (Nc, D) of
    the coarse ones.

    Parameters
    ----------
    folder
        Made if missing.
    last
        The table that is written last: with it a slide is complete.
    """

    def __init__(self, folder: Path, last: str) -> None:
        self._folder, self._last = folder, last

    def has(self, row: int) -> bool:
        """Whether all tables of a slide are there."""
        return self._path(row, self._last).is_file()

    def table(self, row: int, name: str) -> NDArray[Any]:
        """Return a table of a slide, mapped.

        Raises
        ------
        TrainingError
            It is missing or damaged.
        """
        path = self._path(row, name)
        try:
            found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise TrainingError(f"{path} can't be read ({error}); delete {self._folder} to make the stage again.") from error
        return found

    def save(self, row: int, **tables: NDArray[Any]) -> None:
        """Keep all tables of a slide, each file whole.

        Raises
        ------
        TrainingError
            They can't be written.
        """
        try:
            for name in sorted(tables, key=lambda name: name == self._last):
                path = self._path(row, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(path) as part, part.open("wb") as file:
                    np.save(file, tables[name], allow_pickle=False)
        except OSError as error:
            raise TrainingError(
                f"{self._folder} can't be written ({error}); free some space or choose another folder."
            ) from error

    def _path(self, row: int, name: str) -> Path:
        return self._folder / f"{row:06d}" / f"{name}.npy"
