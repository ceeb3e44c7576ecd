"""A bag that encodes what it is asked for, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wsimil.bags.bag import row_array
from napari_wsimil.bags.prefetch import BatchSize, Stopwatch, prefetched
from napari_wsimil.patches import patch_grid

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags.store import FeatureStore
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchGrid, PatchSpec, TissueMask
    from napari_wsimil.slides import Slide


class SlideBag:
    """The patches of an open slide; features are encoded when first asked for. For one thread at a time.

    Parameters
    ----------
    slide
        With known mpp; must stay open.
    encoder
        On the device it is to compute on.
    specs
        One for each magnification.
    tissue
        Where to put patches; None: wherever there is slide.
    store
        Where whole magnifications are kept for the next time, or None.
    batch
        How many patches to read and encode at once.
    """

    def __init__(
        self,
        slide: Slide,
        encoder: Encoder,
        specs: Sequence[PatchSpec],
        *,
        tissue: TissueMask | None = None,
        store: FeatureStore | None = None,
        batch: BatchSize | None = None,
    ) -> None:
        self._slide, self._encoder, self._store = slide, encoder, store
        self._batch = batch or BatchSize()
        self._specs = {spec.mpp: spec for spec in sorted(specs, key=lambda spec: -spec.mpp)}
        self._grids = {
            mpp: patch_grid(slide, mpp=mpp, size=s.size, tissue=tissue, stride=s.stride, min_tissue=s.min_tissue)
            for mpp, s in self._specs.items()
        }
        self._features: dict[float, NDArray[np.float32]] = {}
        self._known: dict[float, NDArray[np.bool_]] = {}
        self.encoded = dict.fromkeys(self._specs, 0)
        """mpp -> patches that had to be encoded, those from the store not counted."""

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""
        return tuple(self._specs)

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`."""
        return self._grids[mpp]

    def children(self, mpp: float, finer_mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> NDArray[np.int64]:
        """(n, r) rows of the finer grid; -1 where there is no such patch."""
        return self.grid(mpp).children(self.grid(finer_mpp))[row_array(rows, len(self.grid(mpp)))]

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, D) float32 features of `rows`, or of all patches, encoding those not known yet."""
        wanted = row_array(rows, len(self.grid(mpp)))
        for _ in self.encode_steps(mpp, wanted):
            pass
        return torch.from_numpy(self._table(mpp)[0][wanted])

    def encode_steps(self, mpp: float, rows: NDArray[np.int64] | None = None) -> Generator[int, None, None]:
        """Encode the `rows` not known yet, giving the number of them done so far after each batch and while waiting.

        Closing the generator stops the reading; what was encoded stays known, and only whole magnifications are stored.
        """
        features, known = self._table(mpp)
        wanted = row_array(rows, len(known))
        done = int(known[wanted].sum())
        yield done
        missing = wanted[~known[wanted]]
        if len(missing) == 0:
            return
        clock = Stopwatch()
        with prefetched(missing, lambda chosen: self._read(mpp, chosen), self._batch) as batches:
            for batch in batches:
                if batch is not None:
                    features[batch.rows] = self._encoder.encode(batch.pixels).numpy()
                    known[batch.rows] = True
                    done += len(batch.rows)
                    self.encoded[mpp] += len(batch.rows)
                    self._batch.record(len(batch.rows), clock.lap())
                yield done
        if self._store is not None and known.all():
            self._store.save(self._slide, self._encoder, self._specs[mpp], self.grid(mpp), features)

    def _table(self, mpp: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features and which rows of them are known; taken from the store at first."""
        if mpp not in self._features:
            grid, spec = self.grid(mpp), self._specs[mpp]
            stored = self._store.load(self._slide, self._encoder, spec, grid) if self._store is not None else None
            table = np.zeros((len(grid), self._encoder.dimension), np.float32) if stored is None else stored
            self._features[mpp] = table
            self._known[mpp] = np.full(len(grid), stored is not None)
        return self._features[mpp], self._known[mpp]

    def _read(self, mpp: float, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        spec = self._specs[mpp]
        corners = self.grid(mpp).xy[rows]
        return self._slide.read_patches(corners, spec.size, mpp, resampling=spec.resampling, colour=spec.colour)
