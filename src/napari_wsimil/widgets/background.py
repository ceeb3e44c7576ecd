"""Reading for the window without making it wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker

from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from collections.abc import Callable


def read_in_background(key: Any, read: Callable[[], Any], on_result: Callable[[tuple[Any, Any]], None]) -> None:
    """Call `read` in a worker thread and `on_result` with (`key`, its result) in the GUI thread.

    Parameters
    ----------
    key
        Tells whoever gets the result what it belongs to: by then the window may show another slide.
    read
        What takes long. An error that bad input causes becomes the result, as a `WsimilError` or an `OSError`.
    on_result
        A method of a widget: Qt calls it no more once the widget is gone.
    """
    # superqt keeps a worker and its arguments for ever; what it has taken out of a list is let go.
    worker = create_worker(_attempt, [(key, read)], _ignore_errors=True)
    worker.returned.connect(on_result)
    worker.start()


def _attempt(task: list[tuple[Any, Callable[[], Any]]]) -> tuple[Any, Any]:
    key, read = task.pop()
    try:
        return key, read()
    except (WsimilError, OSError) as error:
        return key, error
