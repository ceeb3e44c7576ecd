"""Bags computed from slides when they are first asked for, and stored for the next time."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

from napari_wsimil.bags import FeatureBag, FeatureStore
from napari_wsimil.bags.feature_files import read_features
from napari_wsimil.errors import SlideError, TrainingError
from napari_wsimil.inference.extraction import Extraction, extract_steps
from napari_wsimil.inference.steps import Computing
from napari_wsimil.training.bag_sets.base import NamedBags
from napari_wsimil.training.bag_sets.files import with_places

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.inference.progress import Progress
    from napari_wsimil.patches import PatchSpec
    from napari_wsimil.training.data.manifest import Case


class SlideBags(NamedBags):
    """Bags of slides: opened, tissue found, patches encoded and stored, each when it is first asked for.

    Parameters
    ----------
    cases
        Their `path` is a slide; `mpp` is what its level 0 measures where the file does not say.
    targets
        Number of the class for each.
    encoder
        What makes the features.
    specs
        How patches are cut, one for each magnification.
    store
        Folder where features are kept, shared with `predict` and `extract`.
    device
        As `predict`.
    on_progress
        Called with the name of the slide and a `Progress`, in the thread that asked for the bag.

    Attributes
    ----------
    mpps
        Magnifications in µm per pixel, coarse to fine.
    width
        Numbers for each patch.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        targets: Sequence[int],
        encoder: Encoder,
        specs: Sequence[PatchSpec],
        *,
        store: str | Path,
        device: str = "auto",
        on_progress: Callable[[str, Progress], object] | None = None,
    ) -> None:
        super().__init__([case.name for case in cases], targets)
        self._cases = tuple(cases)
        self._encoder, self._specs, self._computing = encoder, tuple(specs), Computing(device)
        self._store = FeatureStore(store)
        self._on_progress = on_progress
        self._extracted: dict[int, Extraction] = {}
        # one slide at a time: two would only share the same processors
        self._lock = threading.Lock()
        self.mpps = tuple(sorted((spec.mpp for spec in specs), reverse=True))
        self.width = encoder.dimension
        self.encoder = encoder.id
        self.has_places = True

    def bag(self, row: int) -> FeatureBag:
        """Return the bag of a slide, computing what is not stored yet.

        Raises
        ------
        TrainingError
            The slide can't be used; the sentence says why.
        """
        with self._lock:
            if row not in self._extracted:
                with closing(self.steps(row)) as steps:
                    for progress in steps:
                        if self._on_progress is not None:
                            self._on_progress(self.names[row], progress)
        files = dict(self._extracted[row].files)
        return with_places({mpp: read_features(path) for mpp, path in files.items()}, files)

    def steps(self, row: int) -> Generator[Progress, None, None]:
        """Compute and store the features of a slide, reporting several times a second; closing it stops the work."""
        case = self._cases[row]
        try:
            self._extracted[row] = yield from extract_steps(
                case.path, self._encoder, self._specs, self._store, computing=self._computing, slide_mpp=case.mpp
            )
        except SlideError as error:
            raise TrainingError(f"{error} (slide {case.name} of the manifest)") from error
