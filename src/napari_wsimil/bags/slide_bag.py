"""A bag that encodes what it is asked for, once."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from napari_wsimil.bags.bag import row_array
from napari_wsimil.bags.batch_size import BatchSize
from napari_wsimil.bags.order import PatchOrder
from napari_wsimil.bags.rates import StageRates
from napari_wsimil.bags.streaming import streamed
from napari_wsimil.bags.writing import Writer
from napari_wsimil.errors import SlideError
from napari_wsimil.patches import patch_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags.focus import Focus
    from napari_wsimil.bags.store import FeatureStore, StoredFeatures
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchGrid, PatchSpec, StainNormaliser, TissueMask
    from napari_wsimil.slides import Slide


class SlideBag:
    """The patches of an open slide; features are encoded when first asked for. For one thread at a time; a context manager.

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
        Where features are kept for the next time, as they come, or None.
    batch
        How many patches to encode at once.
    inside
        A grid -> (N,) which of its patches take part; None: all.
    stain
        Gives what is done to the pixels of patches before they are encoded, where there are any; None: nothing.
    focus
        Where somebody looks, whose patches are encoded first.
    tuned
        Gives the encoder as it computes, where something has to be encoded; None: as it is.

    Attributes
    ----------
    encoded
        mpp -> patches that had to be encoded, those from the store not counted.
    rates
        How fast reading, encoding and writing are.
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
        inside: Callable[[PatchGrid], NDArray[np.bool_]] | None = None,
        stain: Callable[[], StainNormaliser] | None = None,
        focus: Focus | None = None,
        tuned: Callable[[], Encoder] | None = None,
    ) -> None:
        self._slide, self._encoder, self._store = slide, encoder, store
        self._stain, self._focus, self._tuned = stain, focus, tuned
        self._batch = batch or BatchSize()
        self._specs = {spec.mpp: spec for spec in sorted(specs, key=lambda spec: -spec.mpp)}
        self._whole = {
            mpp: patch_grid(slide, mpp=mpp, size=s.size, tissue=tissue, stride=s.stride, min_tissue=s.min_tissue)
            for mpp, s in self._specs.items()
        }
        if inside is not None:
            # where the spec itself says that patches are those of an area, the stored file holds no others
            self._whole = {
                mpp: grid.where(inside(grid)) if self._specs[mpp].area else grid for mpp, grid in self._whole.items()
            }
        kept = {mpp: np.ones(len(grid), np.bool_) if inside is None else inside(grid) for mpp, grid in self._whole.items()}
        self._rows = {mpp: np.flatnonzero(which) for mpp, which in kept.items()}
        self._grids = {mpp: grid if kept[mpp].all() else grid.where(kept[mpp]) for mpp, grid in self._whole.items()}
        self._children: dict[tuple[float, float], NDArray[np.int64]] = {}
        self._features: dict[float, NDArray[np.float32]] = {}
        self._known: dict[float, NDArray[np.bool_]] = {}
        self._stored: dict[float, StoredFeatures] = {}
        self._normaliser: StainNormaliser | None = None
        self._open = ExitStack()
        self.encoded = dict.fromkeys(self._specs, 0)
        self.rates = StageRates()

    def __enter__(self) -> Self:
        self._open.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)  # type: ignore[arg-type]

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""
        return tuple(self._specs)

    @property
    def encoder(self) -> Encoder:
        """The encoder, tuned where something had to be encoded."""
        return self._encoder

    @property
    def precision(self) -> str:
        """What the features were computed in; several, with commas, where some of them were stored before."""
        found: list[str] = [self._encoder.precision] if any(self.encoded.values()) else []
        found += [name for stored in self._stored.values() for name in stored.precisions]
        return ",".join(dict.fromkeys(found)) or self._encoder.precision

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`."""
        return self._grids[mpp]

    def children(self, mpp: float, finer_mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> NDArray[np.int64]:
        """(n, r) rows of the finer grid; -1 where there is no such patch."""
        if (mpp, finer_mpp) not in self._children:
            self._children[mpp, finer_mpp] = self.grid(mpp).children(self.grid(finer_mpp))
        return self._children[mpp, finer_mpp][row_array(rows, len(self.grid(mpp)))]

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, D) float32 features of `rows`, or of all patches, encoding those not known yet."""
        wanted = row_array(rows, len(self.grid(mpp)))
        for _ in self.encode_steps(mpp, wanted):
            pass
        return torch.from_numpy(self._table(mpp)[0][wanted])

    def known(self, mpp: float) -> NDArray[np.bool_]:
        """(N,) which patches are encoded."""
        return self._table(mpp)[1]

    def known_features(self, mpp: float, rows: NDArray[np.int64]) -> Tensor:
        """(n, D) features of rows that are known; nothing is encoded."""
        return torch.from_numpy(self._table(mpp)[0][rows])

    def encode_steps(self, mpp: float, rows: NDArray[np.int64] | None = None) -> Generator[int, None, None]:
        """Encode the `rows` not known yet, giving the number of them done so far after each batch and while waiting.

        Closing the generator stops the work; what was encoded stays known, here and in the store.
        """
        features, known = self._table(mpp)
        wanted = row_array(rows, len(known))
        done = int(known[wanted].sum())
        yield done
        missing = wanted[~known[wanted]]
        if len(missing) == 0:
            return
        order = PatchOrder(missing, self.grid(mpp), self._focus)
        with ExitStack() as ending:
            writer = None
            if mpp in self._stored:
                writer = Writer(self._stored[mpp], self.rates)
                ending.callback(writer.end)
            read = lambda chosen: self._read(mpp, chosen)  # noqa: E731
            results = ending.enter_context(streamed(order, read, self._encoder, self._batch, self.rates))
            for found in results:
                if found is not None:
                    features[found.rows] = found.features
                    known[found.rows] = True
                    done += len(found.rows)
                    self.encoded[mpp] += len(found.rows)
                    # tiles that the system could not read are shown as glass: not to be kept
                    if writer is not None and not self._slide.read_faults:
                        writer.write(self._rows[mpp][found.rows], found.features)
                yield done
        self._settle(mpp)

    def _table(self, mpp: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features and which rows of them are known; taken from the store at first."""
        if mpp not in self._features:
            rows = self._rows[mpp]
            table, known = np.zeros((len(rows), self._encoder.dimension), np.float32), np.zeros(len(rows), np.bool_)
            spec, store = self._specs[mpp], self._store
            if store is None or store.stored(self._slide, self._encoder, spec) is None:
                self._tune()
            if store is not None and len(self._whole[mpp]):
                stored = self._opened(store, mpp)
                there = np.flatnonzero(stored.known[rows])
                if len(there):
                    table[there] = stored.read(rows[there])
                    # reading finds out what is damaged
                    known[there] = stored.known[rows[there]]
                if not known[there].all() and not stored.writable:
                    # a whole file was, and is no longer there: begun anew with what is left of it
                    self._tune()
                    stored = self._opened(store, mpp)
                    stored.write(rows[known], table[known])
                self._stored[mpp] = stored
            self._features[mpp], self._known[mpp] = table, known
        return self._features[mpp], self._known[mpp]

    def _settle(self, mpp: float) -> None:
        """Let others use a magnification that is whole."""
        stored = self._stored.get(mpp)
        if stored is None or self._store is None or self._slide.read_faults:
            return
        if stored.known.all():
            stored.close()
        elif not stored.writable and self._known[mpp].all() and len(self._rows[mpp]) == len(self._whole[mpp]):
            # another process is at it too, or the file system has no locks
            self._store.save(self._slide, self._encoder, self._specs[mpp], self._whole[mpp], self._features[mpp])

    def _opened(self, store: FeatureStore, mpp: float) -> StoredFeatures:
        opened = store.open(self._slide, self._encoder, self._specs[mpp], self._whole[mpp], parents=self._parents(mpp))
        return self._open.enter_context(opened)

    def _tune(self) -> None:
        if self._tuned is not None:
            self._encoder, self._tuned = self._tuned(), None

    def _parents(self, mpp: float) -> dict[float, tuple[PatchSpec, NDArray[np.int64]]]:
        """Coarser mpp -> how its patches are cut, and which of them is around each patch (N,), -1 where none is."""
        grid, found = self._whole[mpp], {}
        for coarser in (other for other in self._specs if other > mpp):
            with suppress(SlideError):  # magnifications that do not nest have no parents
                children = self._whole[coarser].children(grid)
                parents = np.full(len(grid), -1, np.int64)
                row, column = np.nonzero(children >= 0)
                parents[children[row, column]] = row
                found[coarser] = (self._specs[coarser], parents)
        return found

    def _read(self, mpp: float, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        spec = self._specs[mpp]
        corners = self.grid(mpp).xy[rows]
        pixels = self._slide.read_patches(corners, spec.size, mpp, resampling=spec.resampling, colour=spec.colour)
        if self._stain is None:
            return pixels
        if self._normaliser is None:
            self._normaliser = self._stain()
        return self._normaliser.apply(pixels, out=pixels)
