"""TIAToolbox, LazySlide and WSInfer, each extracting features of the same patches with the same module.

`make_importable` comes first: PyPI's torchvision does not find what its compiled operators need beside a torch for the CPU, and
WSInfer looks for a class that zarr no longer has. Both are put right there, for the benchmark, and nowhere else.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from predict_networks import MEAN, MPP, SIZE, STD, Network
from predict_turns import Features, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

WORKERS = (0, 2)
BATCH = 64
NAMES = {"TIAToolbox": "tiatoolbox", "LazySlide": "lazyslide", "WSInfer": "wsinfer"}


def installed() -> dict[str, str]:
    """Name -> version of the peers that are here."""
    return {name: importlib.metadata.version(module) for name, module in NAMES.items() if find_spec(module) is not None}


def peers(network: Network, slide: Path, corners: NDArray[np.int64]) -> list[Way]:
    """A way for each peer that is installed, with its settings; a peer's choice of half precision is a way of its own."""
    there = installed()
    made = {"TIAToolbox": _tiatoolbox, "LazySlide": _lazyslide, "WSInfer": _wsinfer}
    ways = []
    for name in there:
        run = made[name](network, slide, corners)
        settings = {f"{workers} workers": _quiet(run, workers) for workers in WORKERS}
        ways.append(Way(name, settings, len(corners), softmax=name == "WSInfer"))
    if "LazySlide" in there and any(True for _ in network.module.parameters()):
        run = _lazyslide(network, slide, corners, amp=True)
        settings = {f"{workers} workers": _quiet(run, workers) for workers in WORKERS}
        ways.append(Way("LazySlide, amp=True", settings, len(corners), precision="bf16"))
    return ways


def make_importable() -> None:
    """To be called before anything imports torchvision; does nothing that is not needed."""
    if find_spec("torchvision") is not None and not _has_operators():
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
    if find_spec("wsinfer") is not None:
        import zarr.storage

        if not hasattr(zarr.storage, "KVStore"):
            zarr.storage.KVStore = type("KVStore", (), {"__contains__": None})


_KEPT: list[Any] = []
"""A library's definitions last as long as it is held."""


def _has_operators() -> bool:
    """Whether torchvision's compiled part fits this torch."""
    if _KEPT:
        return True
    folder = Path(next(iter(find_spec("torchvision").submodule_search_locations)))
    for compiled in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            return False
        return True
    return False


def _quiet(run: Callable[[int], Features], workers: int) -> Callable[[], Features]:
    def silently() -> Features:
        logging.disable(logging.WARNING)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return run(workers)
        finally:
            logging.disable(logging.NOTSET)

    return silently


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="predict-peer-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _transform(network: Network, *, resize: bool = False) -> Any:
    """The network's preprocessing, of torchvision; `resize` where a peer hands over what it read at level 0."""
    from torchvision import transforms

    first = [transforms.Resize(SIZE)] if resize else []
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if network.side < SIZE:
        # on a tensor, as some peers hand over arrays
        last.insert(1, transforms.CenterCrop(network.side))
    return transforms.Compose([*first, *last])


def _tiatoolbox(network: Network, slide: Path, corners: NDArray[np.int64]) -> Callable[[int], Features]:
    """`DeepFeatureExtractor` writing zarr; it makes the grid itself, of every patch."""
    from tiatoolbox.models.engine.deep_feature_extractor import DeepFeatureExtractor
    from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
    from tiatoolbox.models.models_abc import ModelABC

    transform = _transform(network)

    class Model(ModelABC):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.module

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)

        @staticmethod
        def preproc(image: NDArray[np.uint8]) -> torch.Tensor:
            return transform(image)

        @staticmethod
        def infer_batch(model: torch.nn.Module, images: torch.Tensor, *, device: str) -> list[NDArray[np.float32]]:
            with torch.inference_mode():
                return [model(images.to(device)).cpu().numpy()]

    at = [{"units": "mpp", "resolution": MPP}]
    where = IOPatchPredictorConfig(
        input_resolutions=at, output_resolutions=at, patch_input_shape=(SIZE, SIZE), stride_shape=(SIZE, SIZE)
    )

    def run(workers: int) -> Features:
        import zarr

        model = Model()
        model.preproc_func = transform
        extractor = DeepFeatureExtractor(model=model, batch_size=BATCH, num_workers=workers, verbose=False, device=_device())
        with _folder() as folder:
            written = extractor.run(
                [slide], patch_mode=False, ioconfig=where, output_type="zarr", save_dir=folder / "out", auto_get_mask=False
            )
            group = zarr.open(str(next(iter(written.values()))), mode="r")
            # boxes at the resolution asked for -> corners at level 0
            finer = 2 * np.asarray(group["coordinates"])[:, :2]
            return Features(finer.astype(np.int64), np.asarray(group["features"], np.float32))

    return run


def _lazyslide(network: Network, slide: Path, corners: NDArray[np.int64], *, amp: bool = False) -> Callable[[int], Features]:
    """`tl.feature_extraction` into the slide's table in memory."""
    import geopandas
    import lazyslide as zs
    import shapely
    from lazyslide.preprocess._tiles import _add_tiles
    from wsidata import TileSpec, open_wsi

    transform = _transform(network)

    def run(workers: int) -> Features:
        with _folder() as folder:
            wsi = open_wsi(slide, store=str(folder / "slide.zarr"))
            boxes = shapely.box(*corners.T, *(corners + 2 * SIZE).T)
            number = np.arange(len(corners))
            tiles = geopandas.GeoDataFrame({"tile_id": number, "tissue_id": 0 * number}, geometry=boxes)
            _add_tiles(wsi, tiles, TileSpec.from_wsidata(wsi, tile_px=SIZE, mpp=MPP), key_added="tiles")
            rows = zs.tl.feature_extraction(
                wsi,
                network.module,
                transform=transform,
                batch_size=BATCH,
                num_workers=workers,
                amp=amp,
                autocast_dtype=torch.bfloat16,
                device=_device(),
                pbar=False,
                return_features=True,
            )
            wsi.close()
        return Features(corners, np.asarray(rows, np.float32))

    return run


def _wsinfer(network: Network, slide: Path, corners: NDArray[np.int64]) -> Callable[[int], Features]:
    """`run_inference` into a CSV file; it gives the softmax of what the network gives."""
    from wsinfer.modellib import run_inference as module
    from wsinfer_zoo.client import Model, ModelConfiguration

    os.environ["WSINFER_FORCE_CPU"] = "0" if torch.cuda.is_available() else "1"
    classes = network.encoder.dimension
    names = [f"c{number}" for number in range(classes)]
    config = ModelConfiguration("resnet18", classes, names, SIZE, MPP, [])

    def run(workers: int) -> Features:
        import pandas as pd

        # the module itself, without a detour through TorchScript, and a crop, which its configuration can't name
        module.get_pretrained_torch_module = lambda model: network.module
        module.make_compose_from_transform_config = lambda items: _transform(network, resize=True)
        with _folder() as folder:
            (folder / "slides").mkdir()
            (folder / "slides" / slide.name).symlink_to(slide)
            (folder / "patches").mkdir()
            with h5py.File(folder / "patches" / f"{slide.stem}.h5", "w") as file:
                file["coords"] = corners
                file["coords"].attrs.update(patch_size=2 * SIZE, patch_level=0, patch_spacing_um_px=MPP)
            failed = module.run_inference(folder / "slides", folder, Model(config, ""), batch_size=BATCH, num_workers=workers)
            if any(failed):
                raise RuntimeError(f"WSInfer failed on {slide.name}")
            table = pd.read_csv(folder / "model-outputs-csv" / f"{slide.stem}.csv")
        rows = table[[f"prob_{name}" for name in names]].to_numpy(np.float32)
        return Features(table[["minx", "miny"]].to_numpy(np.int64), rows)

    return run


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
