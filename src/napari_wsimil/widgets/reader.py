"""napari's way in: slides, saved predictions and model packages, told apart by content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_warning

from napari_wsimil.annotations import looks_like_annotations
from napari_wsimil.errors import WsimilError
from napari_wsimil.slides import whole_slide
from napari_wsimil.slides.backends.czi import is_brightfield, is_czi
from napari_wsimil.slides.backends.ngff import has_rgb_image, is_ome_zarr
from napari_wsimil.widgets.model_drop import choose_package, package_of
from napari_wsimil.widgets.slide_layer import facts, open_quietly, slide_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.slides import Slide

    LayerData = tuple[Any, ...]
    Reader = Callable[[Any], list[LayerData]]

SCANNER_SUFFIXES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".qptiff"})
PREDICTION_SUFFIX = ".prediction.h5"
ANNOTATION_SUFFIXES = (".geojson", ".xml")
WSI_STORAGE_CLASS = b"1.2.840.10008.5.1.4.1.1.77.1.6"
"""DICOM's "VL Whole Slide Microscopy Image Storage", as it stands in the head of every file of a slide."""

NOTHING: list[LayerData] = [(None,)]
"""napari's sign for "read, and there is no layer to add"."""


def get_reader(path: str | list[str]) -> Reader | None:
    """Answer napari's question who reads `path`: a function that gives layers, or None for what is not a slide.

    A file with a scanner's suffix is always ours, so that a broken one gets a clear sentence; TIFF and DICOM are ours when they
    hold a slide.
    """
    if isinstance(path, list):
        return None
    file = Path(path)
    if file.name.lower().endswith(ANNOTATION_SUFFIXES):
        return read_regions if looks_like_annotations(file) else None
    if file.name.lower().endswith(PREDICTION_SUFFIX):
        return read_prediction
    if package_of(file) is not None:
        return read_package
    return read_slide if looks_like_slide(file) else None


def looks_like_slide(path: Path) -> bool:
    """Whether `path` should be opened as a slide; reads a few kilobytes at most."""
    path = whole_slide(path)
    suffix = path.suffix.lower()
    if suffix in SCANNER_SUFFIXES:
        return True
    if suffix in {".tif", ".tiff", ".tf8", ".btf"} and path.is_file():
        return _is_slide_tiff(path)
    try:
        # of formats that hold images of any kind only the brightfield ones: the others have readers of their own
        if is_ome_zarr(path):
            return has_rgb_image(path)
        if is_czi(path):
            return is_brightfield(path)
        files = sorted(path.iterdir())[:50] if path.is_dir() else [path]
    except OSError:
        return False
    return any(_is_dicom_slide(file) for file in files)


def _is_slide_tiff(path: Path) -> bool:
    """Colour tiles are a slide; a TIFF that can't be parsed is claimed as well, to be refused with a sentence."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            return bool(page.is_tiled and page.samplesperpixel in {3, 4})
    except Exception:  # noqa: BLE001 - tifffile raises many kinds on a damaged file
        return True


def _is_dicom_slide(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return head[128:132] == b"DICM" and WSI_STORAGE_CLASS in head


def read_slide(path: str) -> list[LayerData]:
    """One slide layer; or one sentence in a notification and no layer."""
    try:
        slide = open_quietly(path)
        layer = _prepared_layer(slide)
    except WsimilError as error:
        show_error(str(error))
        return NOTHING
    _prepare_current_viewer()
    for notice in slide.notices:
        show_warning(notice)
    return [layer]


def _prepared_layer(slide: Slide) -> LayerData:
    """The layer of a slide in the colours of the preferences, with what napari reads first at hand."""
    from napari_wsimil.widgets.preferences import colour_for
    from napari_wsimil.widgets.warm_up import warm_up

    warm_up(slide)
    return slide_layer(slide, colour_for(slide))


def read_prediction(path: str) -> list[LayerData]:
    """All layers of a saved prediction, on its slide where that can be found and is not open already."""
    from napari_wsimil.inference import load_prediction
    from napari_wsimil.widgets.layers import prediction_layers
    from napari_wsimil.widgets.recipes import note_file

    try:
        prediction = load_prediction(path)
    except WsimilError as error:
        show_error(str(error))
        return NOTHING
    note_file(prediction, path)
    _prepare_current_viewer()
    return [*_slide_beneath(prediction, Path(path)), *prediction_layers(prediction)]


def read_package(path: str) -> list[LayerData]:
    """No layer: the package becomes the chosen model of the window."""
    from napari import current_viewer

    viewer, folder = current_viewer(), package_of(Path(path))
    if viewer is None or folder is None:
        show_warning(f"{Path(path).name} is a model, no picture; open it in a window, where it can be chosen.")
    else:
        choose_package(viewer, folder)
    return NOTHING


def read_regions(path: str) -> list[LayerData]:
    """Regions drawn in QuPath or ASAP, put on the open slide by the dock "Annotate"."""
    from napari import current_viewer

    from napari_wsimil.widgets.docks import open_dock
    from napari_wsimil.widgets.session import session_of

    viewer = current_viewer()
    if viewer is None or session_of(viewer).slide is None:
        show_error(f"{Path(path).name} holds regions of a slide; open that slide first, then drop the file again.")
    else:
        open_dock(viewer, "Annotate").open_file(path)
    return NOTHING


def _prepare_current_viewer() -> None:
    """Make the viewer that will get the layers treat them as it does after Predict."""
    from napari import current_viewer

    from napari_wsimil.widgets.boxes import keep_readable
    from napari_wsimil.widgets.slide_view import watch

    viewer = current_viewer()
    if viewer is not None:
        watch(viewer)
        keep_readable(viewer)


def _slide_beneath(prediction: SlidePrediction, saved: Path) -> list[LayerData]:
    """The slide that was predicted, unless it is open, gone or another one by now."""
    from napari import current_viewer

    told = prediction.provenance.get("slide", {})
    viewer = current_viewer()
    if viewer is not None and any(facts(layer).get("fingerprint") == told.get("fingerprint") for layer in viewer.layers):
        return []
    recorded = Path(str(told.get("path", "")))
    for path in (recorded, saved.parent / recorded.name):
        if recorded.name and path.exists():
            try:
                slide = open_quietly(path, mpp=told.get("mpp") and tuple(told["mpp"]))
            except WsimilError:
                continue
            if slide.fingerprint == told.get("fingerprint"):
                return [_prepared_layer(slide)]
    name = recorded.name or "of this prediction"
    show_warning(f"The slide {name} was not found, so its result is shown without it; open the slide to see both.")
    return []
