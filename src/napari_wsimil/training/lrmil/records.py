"""What a finished stage leaves behind, so that a run that goes on knows that it need not be repeated."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECORD = "stage.json"


class StageRecord:
    """The record of one stage: what it depends on, and what came out of it once it is finished.

    Parameters
    ----------
    folder
        Of the stage; made if missing.
    depends
        All that its results depend on, JSON-able; the digest of the stage before among it.

    Raises
    ------
    TrainingError
        The folder holds the same stage made from something else; the sentence says what differs.
    """

    def __init__(self, folder: Path, depends: Mapping[str, Any]) -> None:
        self.folder = folder
        self._depends = json.loads(json.dumps(depends))
        self.digest = hashlib.sha256(json.dumps(self._depends, sort_keys=True).encode()).hexdigest()[:16]
        self.results: dict[str, Any] | None = None
        """What the stage told when it was finished; None before."""
        kept = _read(folder / RECORD)
        if kept is None:
            self._write()
        elif kept["depends"] != self._depends:
            raise TrainingError(
                f"{folder} was made with {_difference(kept['depends'], self._depends)}; repeat it, choose another folder, or "
                "delete this one to make the stage again."
            )
        else:
            self.results = kept["results"]

    def finish(self, results: Mapping[str, Any]) -> None:
        """Write down that the stage is finished."""
        self.results = json.loads(json.dumps(results))
        self._write()

    def _write(self) -> None:
        content = {"digest": self.digest, "depends": self._depends, "results": self.results}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_whole(self.folder / RECORD) as part:
                part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"{self.folder} can't be written ({error.strerror}); choose another folder.") from error


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["depends"], dict) and isinstance(content["results"], dict | None):
            return dict(content)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise TrainingError(f"{path} can't be read as the record of a stage; delete the folder to make the stage again.")


def _difference(kept: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in words the first thing that differs."""
    name = next(name for name in [*kept, *now] if kept.get(name) != now.get(name))
    before, after = kept.get(name), now.get(name)
    if name == "slides":
        return "other slides, labels or features"
    if name == "before":
        return "another result of the stage before it"
    if isinstance(before, dict) and isinstance(after, dict):
        return _difference(before, after)
    return f"{name} {before!r}, not {after!r}"
