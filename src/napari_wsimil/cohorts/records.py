"""What is kept of each slide of a cohort."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 1


class Record(BaseModel):
    """How one slide ended.

    Attributes
    ----------
    name, slide, mpp
        See `CohortSlide`.
    stamp
        Bytes and time of change of the slide file when it was read: another file under its name is another slide.
    request
        Digest of what was asked for.
    status, error
        "done", or "failed" with one sentence.
    attempts
        How often it was begun, in all runs.
    seconds
        Of the last attempt.
    patches, encoded
        mpp -> patches, and how many of them the last attempt had to encode (None: not told).
    predicted_class, probabilities, calibration
        Of a prediction; empty for an extraction.
    disagreement
        How far a teacher and its student are apart (`slide_disagreement`), where the model has such two.
    files
        What was written, relative to the folder of the cohort where it lies in that.
    mpp_level0
        µm per pixel of level 0 that was used, (x, y).
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = Field(default=SCHEMA_VERSION, le=SCHEMA_VERSION)
    name: str
    slide: str
    mpp: float | None = None
    stamp: tuple[int, int] | None = None
    fingerprint: str = ""
    request: str
    status: Literal["done", "failed"]
    error: str = ""
    attempts: int = 0
    seconds: float = 0.0
    patches: dict[str, int] = Field(default_factory=dict)
    encoded: int | None = None
    predicted_class: str | None = None
    probabilities: dict[str, float] = Field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    disagreement: float | None = None
    mpp_level0: tuple[float, float] | None = None
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    host: str = ""
    device: str = ""
    precision: str = ""
    started: str = ""
    ended: str = ""
    version: str = ""

    @property
    def patch_count(self) -> int:
        """Patches of all magnifications."""
        return sum(self.patches.values())

    @property
    def confidence(self) -> float | None:
        """Probability of the predicted class; None for an extraction."""
        return max(self.probabilities.values(), default=None)

    @property
    def uncertainty(self) -> float | None:
        """See the function `uncertainty`."""
        return uncertainty(self.probabilities)

    def paths(self, folder: Path) -> list[Path]:
        """Files that were written."""
        return [folder / file for file in self.files]


def uncertainty(probabilities: Mapping[str, float]) -> float | None:
    """Entropy of the probabilities of the classes as a share of the largest there can be: 0 is sure, 1 knows nothing.

    None where there are fewer than two classes.
    """
    if len(probabilities) < 2:
        return None
    entropy = -sum(value * math.log(value) for value in probabilities.values() if value > 0)
    return min(max(entropy / math.log(len(probabilities)), 0.0), 1.0)


def read_record(path: Path) -> Record | None:
    """Read a record; None where there is none, or none that can be read: the slide is done again then."""
    with suppress(OSError, ValueError, ValidationError):
        return Record.model_validate_json(path.read_bytes())
    return None


def write_record(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    with written_whole(path) as part:
        part.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def note_attempt(path: Path, event: str, **about: Any) -> None:
    """Add a line to a slide's list of attempts, in one piece; only the process that works at the slide writes it."""
    line = json.dumps({"event": event, "time": now(), **about}, ensure_ascii=False) + "\n"
    # a line that a power cut left unended must not swallow this one
    torn = path.is_file() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (("\n" if torn else "") + line).encode())
    finally:
        os.close(handle)


def count_attempts(path: Path) -> int:
    """How often a slide was begun."""
    if not path.is_file():
        return 0
    return sum('"event": "started"' in line for line in path.read_text(encoding="utf-8", errors="replace").splitlines())


def slide_stamp(path: Path) -> tuple[int, int] | None:
    """Bytes and time of change in nanoseconds; None where there is no such file."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns


def now() -> str:
    """The time, for people and programs."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
