"""A prediction in a worker thread: the window never waits, and Cancel stops it at its next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject

from napari_wsimil.errors import WsimilError
from napari_wsimil.inference.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.slides import Slide

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


def prediction_steps(slide: Slide, model: str, device: str) -> Steps:
    """Load the model and predict, in steps that can be stopped; what the dock runs."""
    yield Progress("Loading the model")
    from napari_wsimil.inference import predict_steps
    from napari_wsimil.packages import load_model

    return (yield from predict_steps(slide, load_model(model), device=device))


def _outcome(steps: Steps) -> Generator[Progress, None, SlidePrediction | Failure]:
    """Run the steps; errors become values, because superqt's worker never ends after a RuntimeError."""
    try:
        return (yield from steps)
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
    on_progress
        Called in the GUI thread with each `Progress`.
    on_end
        Called once in the GUI thread with the `SlidePrediction`, a `Failure`, or None after a cancel.
    parent
        The dock; when it is destroyed the job stops and calls nobody.
    """

    def __init__(
        self, steps: Steps, on_progress: Callable[[Progress], None], on_end: Callable[[Any], None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._result: Any = None
        self._on_end = on_end
        self._worker = create_worker(_outcome, steps, _worker_class=_Worker, _ignore_errors=True, _start_thread=False)
        self._worker.steps = steps
        self._worker.yielded.connect(on_progress)
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
