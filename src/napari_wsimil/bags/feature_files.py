"""Feature files of any maker: ours and TRIDENT's HDF5, CLAM's HDF5 and `.pt`, with the places of the patches where known."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import h5py
import numpy as np
import psutil
import torch

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

_H5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class Places:
    """Where patches lie.

    Attributes
    ----------
    xy
        (N, 2) int64 top-left corners in level-0 pixels.
    size
        Side in pixels at the magnification of the patches.
    size_level0, stride_level0
        Side and distance in level-0 pixels.
    stride
        Distance in pixels at the magnification of the patches.
    """

    xy: NDArray[np.int64]
    size: int
    stride: int
    size_level0: float
    stride_level0: float


@dataclass(frozen=True)
class FeatureFile:
    """What a feature file is, without its features.

    Attributes
    ----------
    count, width
        Patches, and numbers for each: N and D.
    mpp
        µm per pixel of the patches; None where the file does not say.
    encoder
        Name of the encoder, "" where the file does not say; `encoder_digest` only ours have.
    has_places
        Whether it knows where its patches lie.
    """

    path: Path
    count: int
    width: int
    mpp: float | None
    encoder: str = ""
    encoder_digest: str = ""
    has_places: bool = False


def inspect_features(path: Path) -> FeatureFile:
    """Look at a feature file without reading its features.

    Raises
    ------
    TrainingError
        The file is missing, damaged, of another kind, or holds no patch.
    """
    if path.suffix.lower() not in _H5:
        table = _tensor(path, mapped=True)
        twin = _twin(path)
        places = twin is not None and inspect_features(twin).has_places
        return FeatureFile(path, *_shape(path, table.shape), None, has_places=places)
    with _opened(path) as file:
        table, coords = _dataset(path, file), file.get("coords")
        count, width = _shape(path, table.shape)
        marks = dict(coords.attrs) if coords is not None else {}
        encoder = table.attrs.get("encoder", "")
        return FeatureFile(
            path,
            count,
            width,
            _mpp(marks),
            encoder=encoder if isinstance(encoder, str) else "",
            encoder_digest=str(marks.get("encoder_digest", "")),
            has_places=coords is not None and coords.shape == (count, 2),
        )


def read_features(path: Path) -> Tensor:
    """(N, D) float32 features of a file.

    Raises
    ------
    TrainingError
        As `inspect_features`, or some of the numbers are not finite.
    """
    if path.suffix.lower() in _H5:
        with _opened(path) as file:
            table = _dataset(path, file)
            count, width = _shape(path, table.shape)
            _check_size(path, 4 * count * width)
            features = torch.from_numpy(np.asarray(table, dtype=np.float32).reshape(count, width))
    else:
        tensor = _tensor(path, mapped=False)
        features = tensor.to(torch.float32).reshape(_shape(path, tensor.shape)).contiguous()
    # the sum is finite unless a number is not, and costs a fifth of looking at each; an overflow is looked at twice
    if not math.isfinite(float(features.sum())) and not bool(torch.isfinite(features).all()):
        bad = int((~torch.isfinite(features).all(dim=1)).sum())
        raise TrainingError(f"{path} has numbers that are not finite in {bad} of {len(features)} patches; extract it again.")
    return features


def read_places(path: Path) -> Places | None:
    """Read where the patches of a file lie, in the order of its features; None where it does not say.

    A CLAM `.pt` has no coordinates: those of the file of the same name in `h5_files` beside it are taken.
    """
    source = path if path.suffix.lower() in _H5 else _twin(path)
    if source is None:
        return None
    with _opened(source) as file:
        coords = file.get("coords")
        count = _shape(source, _dataset(source, file).shape)[0]
        if coords is None or coords.shape != (count, 2):
            return None
        return _places(np.asarray(coords, dtype=np.float64), dict(coords.attrs))


def read_origin(path: Path) -> tuple[float, float] | None:
    """Read where the scanned area begins, (x, y) in level-0 pixels; None where a file does not say (only ours do)."""
    if path.suffix.lower() not in _H5:
        return None
    with _opened(path) as file:
        coords = file.get("coords")
        marked = None if coords is None else coords.attrs.get("level0_origin")
    origin = np.zeros(0) if marked is None else np.asarray(marked).reshape(-1)
    return (float(origin[0]), float(origin[1])) if origin.shape == (2,) and np.issubdtype(origin.dtype, np.number) else None


def _twin(path: Path) -> Path | None:
    twin = path.parent.with_name("h5_files") / f"{path.stem}.h5"
    return twin if path.parent.name == "pt_files" and twin.is_file() else None


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise TrainingError(f"There is no feature file {path}.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except TrainingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path} can't be read as HDF5, it is damaged or incomplete ({reason}); extract it again."
        ) from error


def _dataset(path: Path, file: h5py.File) -> Any:
    table = file.get("features")
    if not isinstance(table, h5py.Dataset):
        held = ", ".join(map(str, file)) or "nothing"
        raise TrainingError(f"{path} holds no features (it holds {held}); give the files that the encoder wrote.")
    if table.dtype.kind != "f":
        raise TrainingError(f"{path} has features of type {table.dtype}; floating-point numbers are needed.")
    return table


def _check_size(path: Path, size: int) -> None:
    """Refuse what memory can't hold: a damaged or malicious heading may announce any number of patches."""
    free = psutil.virtual_memory().available
    if size > free:
        raise TrainingError(
            f"{path} announces {size / 1e9:.1f} GB of features, but only {free / 1e9:.1f} GB of memory are free."
        )


def _tensor(path: Path, *, mapped: bool) -> Tensor:
    """Load a tensor; `mapped`, for a look at its shape, reads nothing where the file is in torch's newer format."""
    if not path.is_file():
        raise TrainingError(f"There is no feature file {path}.")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zipfile(path))
    except Exception as error:
        raise TrainingError(
            f"{path} can't be read as a table of numbers: it is damaged, or holds Python objects, which are never loaded; "
            "extract it again."
        ) from error
    if isinstance(loaded, dict):
        loaded = loaded.get("features")
    if not isinstance(loaded, torch.Tensor) or not loaded.is_floating_point():
        raise TrainingError(f"{path} holds no table of features; give the files that the encoder wrote.")
    return loaded


def _shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """(N, D); a leading axis of length one, which slide encoders want, is ignored."""
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if 0 in shape:
        raise TrainingError(f"{path} has no patches: no tissue was found on the slide; delete its line from the manifest.")
    if len(shape) != 2:
        raise TrainingError(f"{path} has features of shape {tuple(shape)}; one row of numbers for each patch is needed.")
    return int(shape[0]), int(shape[1])


def _number(marks: Mapping[str, Any], name: str) -> float | None:
    try:
        value = float(np.asarray(marks[name]).ravel()[0])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _mpp(marks: Mapping[str, Any]) -> float | None:
    """µm per pixel: as we write it, or 10 over TRIDENT's magnification."""
    mpp = _number(marks, "mpp_target")
    if mpp:
        return mpp
    magnification = _number(marks, "target_magnification")
    return 10 / magnification if magnification else None


def _places(coords: NDArray[np.float64], marks: Mapping[str, Any]) -> Places:
    """Places from coordinates and what their attributes say; what they do not say is told from the coordinates."""
    xy = np.rint(coords).astype(np.int64)
    size = int(_number(marks, "patch_size") or 0)
    downsample = _downsample(marks)
    whole = _number(marks, "patch_size_level0") or (size * downsample if downsample else 0)
    if not (size and whole):
        step = _common_step(xy)
        size, whole = size or round(step), whole or step
        return Places(xy, size, round(size * step / whole), whole, step)
    overlap = _number(marks, "overlap") or 0.0
    # what it really is, not what it was rounded to: over a slide TRIDENT's whole steps differ by many pixels from exact ones
    exact = whole * (size - overlap) / size
    step = exact if "mpp_target" in marks else round(whole) - round(overlap * whole / size)
    return Places(xy, size, max(1, round(size - overlap)), whole, max(1.0, float(step)))


def _downsample(marks: Mapping[str, Any]) -> float | None:
    """Level-0 pixels for each pixel of a patch: TRIDENT's magnifications, or CLAM's level."""
    finest, target = _number(marks, "level0_magnification"), _number(marks, "target_magnification")
    if finest and target:
        return finest / target
    return _number(marks, "downsample") if "patch_level" in marks else None


def _common_step(xy: NDArray[np.int64]) -> float:
    """Distance that neighbours in a row or column most often have; 256 for a single patch."""
    steps = []
    for across, along in ((1, 0), (0, 1)):
        order = np.lexsort((xy[:, along], xy[:, across]))
        difference = np.diff(xy[order], axis=0)
        steps.append(difference[(difference[:, across] == 0) & (difference[:, along] > 0), along])
    found = np.concatenate(steps)
    return float(np.bincount(np.minimum(found, 1 << 20)).argmax()) if len(found) else 256.0
