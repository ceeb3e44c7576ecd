"""A prediction in a worker thread: the window never waits, and Cancel stops it at its next step."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject

from napari_wsimil.errors import WsimilError
from napari_wsimil.inference.progress import Progress
from napari_wsimil.widgets.live import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.live import Drawn

    Steps = Generator[Progress, None, SlidePrediction]


@dataclass(frozen=True)
class Failure:
    """Why a job gave no prediction.

    Attributes
    ----------
    sentence
        What the dock says.
    error
        The exception, where it is not plain bad input and the details matter.
    """

    sentence: str
    error: Exception | None = None


@dataclass(frozen=True)
class Report:
    """What a running job tells the window.

    Attributes
    ----------
    progress
        How far it is.
    drawn
        A new state of the heatmap, ready to be shown, or None.
    """

    progress: Progress
    drawn: Drawn | None = None


def prediction_steps(slide: Slide, model: str, *, choices: Mapping[str, Any], keep_bytes: int | None, **settings: Any) -> Steps:
    """Load the model and predict, in steps that can be stopped; what the dock runs.

    Parameters
    ----------
    slide
        The open slide.
    model
        For `load_model`.
    choices
        For `PatchOptions`.
    keep_bytes
        How much is kept in the user's feature store: before the job it is trimmed to that. None: nothing is kept of this job.
    settings
        What else `predict_steps` takes.
    """
    yield Progress("Loading the model")
    # napari keeps the numbers of boxes in tables of pandas, which takes half a second to be imported.
    import_module("pandas")
    # All of this loads torch: not before it is needed, and not in the thread of the window.
    from napari_wsimil.bags.store import FeatureStore, default_store_folder
    from napari_wsimil.inference import predict_steps
    from napari_wsimil.inference.options import PatchOptions
    from napari_wsimil.packages import load_model

    if keep_bytes is not None:
        settings["store"] = default_store_folder()
        FeatureStore(settings["store"]).trim(keep_bytes)
    return (yield from predict_steps(slide, load_model(model), options=PatchOptions(**choices), **settings))


def _outcome(steps: Steps, slide_mpp: tuple[float, float] | None) -> Generator[Report, None, SlidePrediction | Failure]:
    """Run the steps; errors become values, because superqt's worker never ends after a RuntimeError."""
    first = None
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                result: SlidePrediction = end.value
                return result
            found = progress.provisional
            if found is None:
                yield Report(progress)
                continue
            # Of the magnifications after the first a model may look at a few patches only; the rest waits for nothing.
            first = first or found.mpp
            yield Report(progress, draw(found, slide_mpp, veil=found.mpp == first))
    except WsimilError as error:
        return Failure(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the dock must get its Predict button back
        return Failure(f"The prediction failed unexpectedly: {error or type(error).__name__}.", error)


class _Worker(GeneratorWorker):  # type: ignore[misc]
    """A worker that closes its steps in its own thread when it is stopped, so that files and threads are let go at once."""

    steps: Steps
    at_work: ClassVar[set[_Worker]] = set()

    def work(self) -> Any:
        self.at_work.add(self)
        try:
            return super().work()
        finally:
            self.steps.close()
            self.at_work.discard(self)


def any_running() -> bool:
    """Whether a prediction is running in any window; may be asked from any thread."""
    return bool(_Worker.at_work)


class Job(QObject):
    """One running prediction.

    Parameters
    ----------
    steps
        Generator of `Progress` that returns a `SlidePrediction`.
    slide_mpp
        (x, y) µm per level-0 pixel of the slide, where provisional heatmaps are laid on it.
    on_report
        Called in the GUI thread with each `Report`.
    on_end
        Called once in the GUI thread with the `SlidePrediction`, a `Failure`, or None after a cancel.
    parent
        The dock; when it is destroyed the job stops and calls nobody.
    """

    def __init__(
        self,
        steps: Steps,
        slide_mpp: tuple[float, float] | None,
        on_report: Callable[[Report], None],
        on_end: Callable[[Any], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._result: Any = None
        self._on_end = on_end
        self._worker = create_worker(
            _outcome, steps, slide_mpp, _worker_class=_Worker, _ignore_errors=True, _start_thread=False
        )
        self._worker.steps = steps
        self._worker.yielded.connect(on_report)
        self._worker.returned.connect(self._keep)
        self._worker.finished.connect(self._end)
        parent.destroyed.connect(self._worker.quit)
        self._worker.start()

    def cancel(self) -> None:
        """Stop at the next step; `on_end` is called with None then."""
        self._worker.quit()

    def _keep(self, result: Any) -> None:
        self._result = result

    def _end(self) -> None:
        self._on_end(self._result)
        self.deleteLater()
