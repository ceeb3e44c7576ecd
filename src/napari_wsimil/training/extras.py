"""The libraries that only training and evaluation need: the extra `train` brings them."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def from_train_extra() -> Iterator[None]:
    """Around the import of such a library: where it is missing, one sentence says how to get it.

    Raises
    ------
    TrainingError
        The library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"Training and evaluation need {error.name}, which is not installed: pip install 'napari-wsimil[train]'."
        ) from error


def require_train_extra() -> None:
    """Check that all of them are there before hours of work, not after.

    Raises
    ------
    TrainingError
        One is not installed.
    """
    with from_train_extra():
        for name in ("sklearn", "matplotlib", "jinja2"):
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
