"""DICOM whole-slide images: the folder of a series or any file of it.

wsidicom says which frame is which tile and reads its bytes; JPEG frames are decoded like the tiles of a TIFF.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import Backend, Metadata, TileError, UnsupportedError, make_levels, said
from napari_wsimil.slides.backends.dicom_frames import StoredImage
from napari_wsimil.slides.backends.dicom_series import find_series, is_resampled

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.dicom_series import Series

# wsidicom reports what it leaves out to its logger; what matters of it is said by our own sentences
logging.getLogger("wsidicom").addHandler(logging.NullHandler())

_ABOUT = ("SOPInstanceUID", "SeriesInstanceUID", "Manufacturer", "ManufacturerModelName", "PhotometricInterpretation")
"""What is told of a file; the names of patients, physicians and specimens stay in it."""


class DicomBackend(Backend):
    """A DICOM series through wsidicom."""

    name = "dicom"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed = False
        series = find_series(path)
        self._headers = {str(header.get("SOPInstanceUID")): header for header in series.headers}
        self._slide = _open_wsidicom(path, series)
        try:
            pyramid = max(self._slide.pyramids, key=lambda one: one.size.width * one.size.height)
            self._images = [self._image(level.default_instance) for level in pyramid]
            self._associated = dict(self._find_associated(pyramid))
            self.metadata = self._metadata(pyramid, series)
        except SlideError:
            self._slide.close()
            raise
        except Exception as error:
            self._slide.close()
            raise UnsupportedError(f"{path.name} is a damaged DICOM slide ({said(error, path)}); copy it again.") from error
        self._images.sort(key=lambda image: -image.width)
        self.levels = make_levels([(i.width, i.height) for i in self._images], [i.tile_size for i in self._images])

    def _image(self, instance: Any) -> StoredImage:
        return StoredImage(self.path.name, instance)

    def _find_associated(self, pyramid: Any) -> Iterable[tuple[str, Any]]:
        groups = {"thumbnail": pyramid.thumbnails, "macro": self._slide.overviews, "label": self._slide.labels}
        for name, images in groups.items():
            if images:
                yield name, images[0].default_instance

    def _metadata(self, pyramid: Any, series: Series) -> Metadata:
        base = pyramid.base_level
        self._identity = str(base.datasets[0].uids.instance)
        header = self._headers[self._identity]
        properties = {f"dicom.{name}": str(header.get(name)) for name in _ABOUT if header.get(name)}
        metadata = Metadata("dicom", properties, notices=self._missing(series, header))
        if base.mpp is not None:
            metadata.mpp, metadata.mpp_source = (float(base.mpp.width), float(base.mpp.height)), "dicom"
        optics = header.get("OpticalPathSequence") or [{}]
        power = optics[0].get("ObjectiveLensPower")
        metadata.objective_power = float(power) if power else None
        metadata.icc_profile = bytes(optics[0].get("ICCProfile") or b"") or None
        return metadata

    def _missing(self, series: Series, base: Any) -> list[str]:
        """Sentences about what should be there and is not."""
        name, notices = self.path.name, []
        lacking = sum(image.missing_frames for image in self._images)
        # the parts of an image that was cut into several files, by the id they share
        parts: dict[str, list[int]] = {}
        for header in series.headers:
            if header.get("ConcatenationUID"):
                parts.setdefault(str(header.ConcatenationUID), []).append(int(header.get("InConcatenationTotalNumber") or 0))
        if lacking or any(max(totals) > len(totals) for totals in parts.values()):
            notices.append(f"{name} lacks a part of this DICOM series, shown as background; copy all files of the series.")
        if is_resampled(base):
            notices.append(f"{name} lacks the finest level of this DICOM series; copy all files of the series to see it.")
        if series.unreadable:
            notices.append(
                f"{name} was opened without {series.unreadable[0].name}, whose DICOM header is damaged; copy it again."
            )
        if len(self._images[0].data.focal_planes) > 1:
            notices.append(f"{name} holds {len(self._images[0].data.focal_planes)} focal planes; only one of them is shown.")
        return notices

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        try:
            return self._images[level].read_tile(column, row, scratch)
        except Exception as error:
            raise self._explain(error) from error

    @property
    def reduces(self) -> bool:
        """See `Backend.reduces`."""
        return all(image.is_jpeg for image in self._images)

    def read_tile_reduced(self, level: int, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile_reduced`."""
        try:
            return self._images[level].read_tile_reduced(column, row, factor)
        except Exception as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> Exception:
        """What to raise for one of the many kinds that wsidicom, pydicom and the decoders raise."""
        if self._closed:
            return SlideError(f"{self.path.name} was closed; open the slide again to read from it.")
        return TileError(said(error, self.path))

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        return tuple(self._associated)

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        try:
            return self._image(self._associated[name]).read()
        except KeyError:
            raise
        except Exception as error:
            raise ValueError(said(error, self.path)) from error

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        yield self._identity.encode()

    def close(self) -> None:
        """See `Backend.close`."""
        self._closed = True
        self._slide.close()


def _open_wsidicom(path: Path, series: Series) -> Any:
    try:
        import wsidicom
    except ImportError as error:
        raise UnsupportedError(
            f"{path.name} is a DICOM slide, and wsidicom can't be imported ({said(error, path)})."
        ) from error
    # decoded tiles are kept by our own cache; levels may have tiles of different sizes
    settings = wsidicom.Settings(encoded_frame_cache_size=0, decoded_frame_cache_size=0, strict_tile_size_check=False)
    try:
        return wsidicom.WsiDicom.open(series.files, settings=settings)
    except Exception as error:
        raise UnsupportedError(
            f"{path.name} is no DICOM whole-slide image that wsidicom reads ({said(error, path)})."
        ) from error
