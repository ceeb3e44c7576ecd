"""A model at work on a lazy bag, in a thread of its own, so that the job can report and stop while it asks for features.

A method decides by itself which patches it wants: one asks for all of them, ZoomMIL for the children of what it chose. The two
threads take turns: after each batch the model's thread waits until the job has told its caller about it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import torch

from napari_wsimil.bags.bag import BagView, OneMagnification, row_array
from napari_wsimil.bags.prefetch import JOIN_SECONDS, TICK
from napari_wsimil.errors import CancelledError

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import SlideBag
    from napari_wsimil.inference.progress import Provisional
    from napari_wsimil.inference.provisional import Preview
    from napari_wsimil.mil import MILModel, MILOutput


@dataclass(frozen=True)
class Looked:
    """How far a model is.

    Attributes
    ----------
    done, wanted
        Patches encoded (or found stored), and asked for so far.
    encoding
        Features are being made now; otherwise the model itself computes.
    seconds
        Time spent on features.
    provisional
        A new provisional heatmap, else None.
    """

    done: int = 0
    wanted: int = 0
    encoding: bool = False
    seconds: float = 0.0
    provisional: Provisional | None = None


class WatchedBag(BagView):
    """A slide's bag that reports after each batch, and stops with `CancelledError` where the answer says so.

    Parameters
    ----------
    bag
        What answers.
    reports, answers
        To the job, and from it: whether to go on.
    preview
        Makes provisional heatmaps; None: nobody wants any.
    """

    def __init__(
        self,
        bag: SlideBag,
        reports: SimpleQueue[Looked | None],
        answers: SimpleQueue[bool],
        preview: Preview | None = None,
    ) -> None:
        super().__init__(bag)
        self._slide, self._reports, self._answers, self._preview = bag, reports, answers, preview
        self._state = Looked()

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """See `Bag`."""
        chosen = row_array(rows, len(self.grid(mpp)))
        before, started = self._state, time.perf_counter()
        wanted = before.wanted + len(chosen)
        with closing(self._slide.encode_steps(mpp, chosen)) as steps:
            for done in steps:
                preview = self._preview
                new = None if preview is None or not done else preview.due(mpp, last=done == len(chosen))
                self._tell(Looked(before.done + done, wanted, True, before.seconds, new))
        self._tell(Looked(wanted, wanted, False, before.seconds + time.perf_counter() - started))
        return self._slide.known_features(mpp, chosen)

    def _tell(self, state: Looked) -> None:
        self._state = state
        self._reports.put(state)
        if not self._answers.get():
            raise CancelledError("The prediction was cancelled.")


def run_model(
    network: MILModel, bag: SlideBag, *, apart: bool = False, preview: Preview | None = None
) -> Generator[Looked, None, list[MILOutput]]:
    """Run `network` on `bag`; yields several times a second. Closing it stops the work at once.

    It returns one output for all magnifications of the bag; or, where it is to look at them `apart`, one for each.

    Only a network that is computing, not encoding, is left to end by itself when it takes longer than a second.
    """
    reports: SimpleQueue[Looked | None] = SimpleQueue()
    answers: SimpleQueue[bool] = SimpleQueue()

    def answer() -> list[MILOutput]:
        watched = WatchedBag(bag, reports, answers, preview)
        with torch.inference_mode():
            return [network(OneMagnification(watched, mpp)) for mpp in bag.mpps] if apart else [network(watched)]

    pool = ThreadPoolExecutor(1, thread_name_prefix="wsimil-model")
    future = pool.submit(answer)
    future.add_done_callback(lambda _: reports.put(None))
    latest = Looked()
    try:
        while True:
            try:
                report = reports.get(timeout=TICK)
            except Empty:
                yield latest
                continue
            if report is None:
                return future.result()
            latest = report
            yield latest
            answers.put(True)
    finally:
        answers.put(False)
        wait([future], JOIN_SECONDS)
        pool.shutdown(wait=False)
