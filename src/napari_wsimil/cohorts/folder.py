"""The folder of a cohort: what was asked for, which slides, and how each ended."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from filelock import FileLock, Timeout

from napari_wsimil.cohorts.records import Record, count_attempts, now, read_record, slide_stamp, write_record
from napari_wsimil.cohorts.request import first_difference
from napari_wsimil.errors import WsimilError, printable
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from napari_wsimil.cohorts.request import Request
    from napari_wsimil.cohorts.slides import CohortSlide

ABOUT, SLIDES, RECORDS, ATTEMPTS, SCRATCH = "cohort.json", "slides.csv", "records", "attempts", ".unfinished"
RESULTS, PARQUET, REPORT = "results.csv", "results.parquet", "report.html"


class CohortFolder:
    """One cohort on disk.

    Parameters
    ----------
    path
        Absolute; made by `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other runs out of it until the block, or this process, ends.

        Raises
        ------
        WsimilError
            It can't be made, or another run is at it.
        """
        try:
            for name in (RECORDS, ATTEMPTS):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WsimilError(f"{self.path} can't be made ({error.strerror}); choose another folder.") from error
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise WsimilError(f"{self.path} is being written by another run; wait for it, or stop it first.") from error
        try:
            yield
        finally:
            lock.release()

    def about(self) -> dict[str, Any] | None:
        """What was written of the cohort; None for a folder without one."""
        path = self.path / ABOUT
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and isinstance(found["request"], dict) and isinstance(found["id"], str):
                return found
        except (OSError, ValueError, KeyError) as error:
            raise WsimilError(f"{path} is damaged ({error}); choose another folder, or delete that file.") from error
        raise WsimilError(f"{path} is damaged; choose another folder, or delete that file.")

    def begin(self, request: Request) -> str:
        """Write what is asked for, or check that it is what the folder holds; returns the id of the cohort.

        Raises
        ------
        WsimilError
            The folder holds a cohort with another request: the sentence tells the setting that differs.
        """
        kept, wanted = self.about(), request.identity()
        if kept is None:
            document = {"schema_version": 1, "id": uuid4().hex, "request": wanted, "digest": request.digest, "created": now()}
            self._write_about(document)
            return str(document["id"])
        different = first_difference(kept["request"], wanted)
        if different:
            raise WsimilError(
                f"{self.path} holds results made with other settings ({different}); repeat those settings to go on, or choose "
                "another folder."
            )
        return str(kept["id"])

    def settle(self, **facts: Any) -> None:
        """Add what was found out about the cohort to what is written of it."""
        self._write_about({**(self.about() or {}), **facts})

    def _write_about(self, document: Mapping[str, Any]) -> None:
        with written_whole(self.path / ABOUT) as part:
            part.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def names(self) -> dict[Path, str]:
        """Path -> name of the slides that the cohort had so far."""
        path = self.path / SLIDES
        if not path.is_file():
            return {}
        with path.open(encoding="utf-8", newline="", errors="surrogateescape") as file:
            return {Path(row["slide"]): row["name"] for row in csv.DictReader(file) if row.get("slide") and row.get("name")}

    def keep_names(self, slides: Sequence[CohortSlide]) -> None:
        """Write which slide has which name, so that it keeps it when others join."""
        names = self.names() | {slide.path: slide.name for slide in slides}
        rows = [["name", "slide"], *([name, str(path)] for path, name in names.items())]
        path = self.path / SLIDES
        with written_whole(path) as part, part.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def record_path(self, name: str) -> Path:
        """Where it is kept how a slide ended."""
        return self.path / RECORDS / f"{name}.json"

    def attempts_path(self, name: str) -> Path:
        """Where each attempt at a slide leaves a line."""
        return self.path / ATTEMPTS / f"{name}.jsonl"

    def scratch(self, name: str) -> Path:
        """Where the features of a slide are kept until it is done."""
        return self.path / SCRATCH / name

    def drop_scratch(self, name: str) -> None:
        """Remove those, and their folder with the last of them."""
        shutil.rmtree(self.scratch(name), ignore_errors=True)
        with suppress(OSError):
            self.scratch(name).parent.rmdir()

    def tidy(self, done: Collection[str]) -> None:
        """Remove what a kill between a slide's record and its tidying left of the slides that are done."""
        folder = self.path / SCRATCH
        for entry in list(folder.iterdir()) if folder.is_dir() else []:
            if entry.name in done:
                self.drop_scratch(entry.name)

    def record(self, name: str) -> Record | None:
        """How a slide ended, or None."""
        return read_record(self.record_path(name))

    def finished(self, slide: CohortSlide, request: Request) -> Record | None:
        """Return the record of a slide that is done as asked, with all its files, and has not been changed since."""
        record = self.record(slide.name)
        if record is None or record.status != "done" or record.request != request.digest:
            return None
        mpp = slide.mpp if slide.mpp is not None else request.mpp
        same = record.slide == printable(str(slide.path)) and record.stamp == slide_stamp(slide.path) and record.mpp == mpp
        return record if same and all(path.is_file() for path in record.paths(self.path)) else None

    def failed(self, slide: CohortSlide, request: Request) -> Record | None:
        """Return the record of a slide that failed when this was asked of it."""
        record = self.record(slide.name)
        return record if record is not None and record.status == "failed" and record.request == request.digest else None

    def fail(self, slide: CohortSlide, request: Request, error: str, **facts: Any) -> Record:
        """Write that a slide failed; returns the record."""
        record = Record(
            name=slide.name,
            slide=printable(str(slide.path)),
            mpp=slide.mpp if slide.mpp is not None else request.mpp,
            stamp=slide_stamp(slide.path),
            request=request.digest,
            status="failed",
            error=printable(error),
            attempts=count_attempts(self.attempts_path(slide.name)),
            ended=now(),
            **facts,
        )
        write_record(self.record_path(slide.name), record)
        return record
