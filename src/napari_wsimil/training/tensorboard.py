"""Events of a training for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.events import Event


class Writer(Protocol):
    """What is used of `torch.utils.tensorboard.SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Keep one number."""

    def flush(self) -> Any:
        """Write what was kept."""

    def close(self) -> Any:
        """End."""


class TensorBoardSink:
    """Called with events; losses of every step, and at the end of an epoch its losses, validation figures and learning rate.

    Parameters
    ----------
    folder
        Where TensorBoard finds them.
    writer
        Another writer than TensorBoard's.

    Raises
    ------
    TrainingError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path, writer: Writer | None = None) -> None:
        self._writer = writer or _writer(folder)

    def __call__(self, event: Event) -> None:
        """Keep what an event tells."""
        data = event.data
        if event.kind == "step":
            number = event.epoch * int(data["steps"]) + int(data["step"])
            self._add(f"{event.stage}/step", data["losses"], number)
        elif event.kind == "epoch":
            self._add(f"{event.stage}/epoch", data["losses"], event.epoch + 1)
            self._add(f"{event.stage}/validation", data["validation"], event.epoch + 1)
            self._add(event.stage, {"learning_rate": data["learning_rate"]}, event.epoch + 1)
            self._writer.flush()

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()

    def _add(self, group: str, values: Any, number: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", float(value), number)


def _writer(folder: Path) -> Writer:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise TrainingError("TensorBoard is not installed: pip install 'napari-wsimil[tensorboard]'.") from error
    writer: Writer = SummaryWriter(str(folder))
    return writer
