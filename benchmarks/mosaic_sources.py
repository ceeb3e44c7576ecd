"""What mosaic slides are made of: tiles of `crc5` in common colours, and the outlines of real slides."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg

import napari_wsimil as ws
from napari_wsimil.patches.detectors import tissue_from_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KINDS = ("AC", "H", "S", "T", "V")
HELD_TILES = 100
"""Training tiles of each kind that only validation slides have."""
SOURCES = (
    "colon_part.tif",
    "tcga_cr_7395.svs",
    "cmu1_small_region.svs",
    "pen_marks/diagnostic-slide-thumb-rgb.png",
    "pen_marks/tcga-green-pen.png",
    "pen_marks/tcga-red-pen.png",
)


def data_folder() -> Path:
    """Where real data lies: `$WSIMIL_DATA`, or `../shared/data` beside the repository; ends the program where there is none."""
    folder = Path(os.environ.get("WSIMIL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "crc5" / "crc5_tiles.zip").is_file():
        sys.exit(f"There are no real tiles: {folder / 'crc5'} is missing; say in WSIMIL_DATA where the data lies.")
    return folder


def read_tiles(part: str, limit: int | None = None) -> list[NDArray[np.uint8]]:
    """For each kind the (n, 224, 224, 3) tiles of a part in common colours; `limit` of each kind at most."""
    with zipfile.ZipFile(data_folder() / "crc5" / "crc5_tiles.zip") as archive:
        every = archive.namelist()
        return [
            np.stack([unified(simplejpeg.decode_jpeg(archive.read(name))) for name in tile_names(every, part, kind)[:limit]])
            for kind in KINDS
        ]


def tile_names(every: Sequence[str], part: str, kind: str) -> list[str]:
    """The files of a kind that slides of a part are made of."""
    folder = "test" if part == "test" else "train"
    names = sorted(name for name in every if f"{folder}/{kind}/" in name and name.endswith(".jpg"))
    if part == "test":
        return names
    return names[-HELD_TILES:] if part == "validation" else names[:-HELD_TILES]


def unified(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile with common mean and spread of its tissue in Lab (Reinhard et al. 2001); glass stays white."""
    scaled = tile.astype(np.float32) / 255
    lab = cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)
    tissue = lab[..., 0] < 88
    values = lab[tissue] if tissue.sum() > 500 else lab.reshape(-1, 3)
    spread = np.maximum(values.std(axis=0), 2.0)
    changed = (lab - values.mean(axis=0)) / spread * np.float32([17, 8.5, 6.5]) + np.float32([53, 28, -12])
    white = np.clip((lab[..., :1] - 86) / 6, 0, 1)
    rgb = np.clip(cv2.cvtColor(changed.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1) * (1 - white) + white * scaled
    return np.asarray((255 * rgb).round(), np.uint8)


def read_outlines() -> list[NDArray[np.bool_]]:
    """Tissue masks of the real slides, by our own detector."""
    masks = []
    for name in SOURCES:
        path = data_folder() / "slides" / name
        if path.suffix == ".png":
            mask = tissue_from_image(np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]))
        else:
            with ws.open_slide(path) as slide:
                mask = ws.find_tissue(slide).mask
        masks.append(mask)
    return masks
