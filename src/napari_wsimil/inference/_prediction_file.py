"""A saved prediction: one HDF5 file that holds every field exactly.

Root attributes ``format``, ``schema_version``, ``classes`` and ``provenance`` (JSON); ``/probabilities`` (C,) float64;
one numbered group per magnification in ``/attention``, ``/instances``, ``/class_attention``, ``/regions`` and ``/zoom``, and
``/anchors``, each with ``xy``, ``values`` and its sizes; and ``/tissue`` (older files have none) with ``bits``, the mask row
after row as packed bits, and the attributes ``shape`` (rows, columns), ``downsample`` (x, y), ``method`` and, where it is
known, ``mpp``. Every array has a checksum, so that a file whose bytes changed is refused and never shown as a result.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from napari_wsimil.errors import PredictionError
from napari_wsimil.files import written_whole
from napari_wsimil.inference.prediction import PatchScores, PatchSet, SlidePrediction
from napari_wsimil.patches import TissueMask
from napari_wsimil.units import Level0Pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = "napari-wsimil prediction"
SCHEMA_VERSION = 1
SUFFIX = ".prediction.h5"
_OLDEST = ("attention", "instances")
"""Tables that every file has."""
_TABLES = (*_OLDEST, "class_attention", "regions")


class _Slide(BaseModel):
    model_config = ConfigDict(extra="allow")

    path: str
    fingerprint: str
    width: int
    height: int
    mpp: tuple[float, float] | None


class _Named(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: str
    digest: str


class _Calibration(BaseModel):
    model_config = ConfigDict(extra="allow")

    cases: int


class _Provenance(BaseModel):
    """What other parts rely on where it is there."""

    model_config = ConfigDict(extra="allow")

    slide: _Slide | None = None
    model: _Named | None = None
    encoder: _Named | None = None
    calibration: _Calibration | None = None


_JSON = TypeAdapter(dict[str, JsonValue])


def write_prediction(prediction: SlidePrediction, path: str | Path) -> Path:
    """Write `prediction` to `path`, whole or not at all; an existing file is replaced.

    Raises
    ------
    PredictionError
        The file can't be written.
    """
    target = Path(path).expanduser()
    try:
        # HDF5 cannot let go of a file on a full disk and crashes later; a result is small
        memory = BytesIO()
        with h5py.File(memory, "w") as file:
            _write(file, prediction)
        with written_whole(target) as part:
            part.write_bytes(memory.getbuffer())
    except OSError as error:
        raise PredictionError(f"{target} can't be written ({error.strerror or error}); choose another folder.") from error
    return target


def _write(file: h5py.File, prediction: SlidePrediction) -> None:
    file.attrs.update(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        classes=json.dumps(list(prediction.classes), ensure_ascii=False),
        provenance=json.dumps(dict(prediction.provenance), ensure_ascii=False, allow_nan=False),
    )
    _write_array(file, "probabilities", np.array(list(prediction.probabilities.values()), dtype=np.float64))
    for name in _TABLES:
        _write_levels(file.create_group(name), getattr(prediction, name))
    if prediction.zoom is not None:
        _write_levels(file.create_group("zoom"), prediction.zoom)
    if prediction.anchors is not None:
        _write_patches(file.create_group("anchors"), prediction.anchors)
    if prediction.tissue is not None:
        _write_tissue(file.create_group("tissue"), prediction.tissue)


def _write_levels(group: h5py.Group, levels: Mapping[float, PatchScores | PatchSet]) -> None:
    for number, (mpp, patches) in enumerate(levels.items()):
        level = group.create_group(f"{number:03d}")
        level.attrs["mpp"] = float(mpp)
        _write_patches(level, patches)


def _write_patches(group: h5py.Group, patches: PatchScores | PatchSet) -> None:
    _write_array(group, "xy", patches.xy)
    group.attrs["size_level0"] = float(patches.size_level0)
    if isinstance(patches, PatchScores):
        _write_array(group, "values", patches.values)
        group.attrs["stride_level0"] = float(patches.stride_level0)
    else:
        _write_array(group, "values", patches.scores)


def _write_array(group: h5py.Group, name: str, values: NDArray[Any]) -> None:
    group.create_dataset(name, data=values, fletcher32=True)


def _write_tissue(group: h5py.Group, tissue: TissueMask) -> None:
    group.create_dataset("bits", data=np.packbits(tissue.mask), compression="gzip", shuffle=False, fletcher32=True)
    group.attrs.update(shape=tissue.mask.shape, downsample=tissue.downsample, method=tissue.method)
    if tissue.mpp is not None:
        group.attrs["mpp"] = float(tissue.mpp)


def read_prediction(path: str | Path) -> SlidePrediction:
    """Read a saved prediction.

    Raises
    ------
    PredictionError
        The file is missing, is no prediction, is damaged, or comes from a newer version; one sentence says which.
    """
    source = Path(path).expanduser()
    if not source.is_file():
        raise PredictionError(f"There is no file {source}; a saved prediction ends in {SUFFIX}.")
    try:
        with h5py.File(source, "r") as file:
            _check_format(file, source)
            return _read(file)
    except PredictionError:
        raise
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PredictionError(
            f"{source} is damaged (its provenance has a wrong entry, {where}); predict the slide again."
        ) from error
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, MemoryError) as error:
        raise PredictionError(f"{source} is no saved prediction or is damaged; predict the slide again.") from error


def _check_format(file: h5py.File, source: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise PredictionError(f"{source} is an HDF5 file but no saved prediction; choose a file that ends in {SUFFIX}.")
    version = int(file.attrs["schema_version"])
    if version > SCHEMA_VERSION:
        raise PredictionError(
            f"{source} has schema version {version} but this napari-wsimil reads up to {SCHEMA_VERSION}; update napari-wsimil."
        )


def _read(file: h5py.File) -> SlidePrediction:
    provenance = _JSON.validate_json(file.attrs["provenance"])
    _Provenance.model_validate(provenance)
    classes = TypeAdapter(list[str]).validate_json(file.attrs["classes"])
    probabilities = np.asarray(file["probabilities"], dtype=np.float64).tolist()
    return SlidePrediction(
        probabilities=dict(zip(classes, probabilities, strict=True)),
        **{name: dict(map(_read_scores, file[name].values())) for name in _TABLES if name in _OLDEST or name in file},
        anchors=_read_set(file["anchors"]) if "anchors" in file else None,
        zoom={float(level.attrs["mpp"]): _read_set(level) for level in file["zoom"].values()} if "zoom" in file else None,
        provenance=provenance,
        tissue=_read_tissue(file["tissue"]) if "tissue" in file else None,
    )


def _read_scores(level: h5py.Group) -> tuple[float, PatchScores]:
    xy, values = _read_arrays(level)
    size, stride = (Level0Pixels(float(level.attrs[name])) for name in ("size_level0", "stride_level0"))
    return float(level.attrs["mpp"]), PatchScores(xy, size, values, stride)


def _read_set(level: h5py.Group) -> PatchSet:
    xy, values = _read_arrays(level)
    return PatchSet(xy, Level0Pixels(float(level.attrs["size_level0"])), values)


def _read_arrays(level: h5py.Group) -> tuple[Any, Any]:
    xy, values = level["xy"], level["values"]
    if xy.ndim != 2 or xy.shape[1] != 2 or xy.dtype != np.int64 or values.dtype != np.float32 or len(values) != len(xy):
        raise ValueError(f"xy {xy.shape} {xy.dtype} and values {values.shape} {values.dtype} do not describe patches")
    return xy[()], values[()]


def _read_tissue(group: h5py.Group) -> TissueMask:
    bits = group["bits"]
    rows, columns = (int(side) for side in group.attrs["shape"])
    across, down = (float(step) for step in group.attrs["downsample"])
    whole = min(rows, columns) > 0 and min(across, down) > 0 and bits.shape == ((rows * columns + 7) // 8,)
    if not whole or bits.dtype != np.uint8:
        raise ValueError(f"bits {bits.shape} {bits.dtype} are no mask of {rows} x {columns}")
    mask = np.unpackbits(bits[()], count=rows * columns).view(np.bool_).reshape(rows, columns)
    mpp = float(group.attrs["mpp"]) if "mpp" in group.attrs else None
    return TissueMask(mask, (across, down), mpp, str(group.attrs["method"]))
