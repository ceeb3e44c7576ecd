"""A slide with squares at known places, and made-up predictions on it."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

import napari_wsimil as ws
from napari_wsimil.inference.prediction import PatchScores, PatchSet, SlidePrediction

WIDTH, HEIGHT, MPP = 1024, 768, 0.5
PINK, DARK = (235, 190, 215), (70, 40, 110)
SQUARE = (256, 384, 512, 640)  # x0, y0, x1, y1 in level-0 pixels


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    """(open slide, path): 1024 x 768 px at 0.5 µm, pink with one dark square."""
    pixels = np.full((HEIGHT, WIDTH, 3), PINK, np.uint8)
    x0, y0, x1, y1 = SQUARE
    pixels[y0:y1, x0:x1] = DARK
    path = tmp_path_factory.mktemp("slide") / "squares & more.tiff"
    per_cm = 1e4 / MPP
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    with ws.open_slide(path) as slide:
        yield SimpleNamespace(slide=slide, path=path)


@pytest.fixture(scope="session")
def predicted(squares):
    """A function that makes a prediction on that slide: `size` and `stride` of its patches in level-0 pixels."""

    def make(size=128, stride=None, *, anchors=False, zoom=False, classes=("normal", "tumour"), **provenance):
        stride = stride or size
        x, y = np.meshgrid(np.arange(0, WIDTH - size + 1, stride), np.arange(0, HEIGHT - size + 1, stride))
        xy = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)
        weights = np.arange(1, len(xy) + 1, dtype=np.float32)
        weights /= weights.sum()
        tumour = np.linspace(0, 1, len(xy), dtype=np.float32)
        rest = [(1 - tumour) / (len(classes) - 1)] * (len(classes) - 1)
        slide = squares.slide
        about = {
            "slide": {
                "path": str(slide.path),
                "name": slide.name,
                "fingerprint": slide.fingerprint,
                "width": slide.width,
                "height": slide.height,
                "mpp": [MPP, MPP],
                "mpp_source": "tiff",
                "origin": [0, 0],
            },
            "model": {"id": "made-up <model>", "digest": "beef", "method": "abmil", "positive_class": classes[-1]},
            "encoder": {"id": "none", "digest": "cafe", "precision": "fp32"},
            "patches": {"mpp": [0.5], "size": size, "stride": stride, "counts": {"0.5": len(xy)}, "encoded": {"0.5": len(xy)}},
            "device": "cpu",
            "seconds": {"total": 3.2},
            "created": "2026-01-02T03:04:05+00:00",
            "versions": {"napari-wsimil": "0.1.0"},
            "notices": ["Look twice."],
            "calibration": None,
            **provenance,
        }
        shares = [0.2 / (len(classes) - 1)] * (len(classes) - 1) + [0.8]
        return SlidePrediction(
            dict(zip(classes, shares, strict=True)),
            {0.5: PatchScores(xy, size, weights, stride)},
            {0.5: PatchScores(xy, size, np.stack([*rest, tumour], axis=1), stride)},
            anchors=PatchSet(xy[-3:][::-1], size, weights[-3:][::-1]) if anchors else None,
            zoom={4.0: PatchSet(np.int64([[0, 0]]), 512, np.float32([1]))} if zoom else None,
            provenance=about,
        )

    return make
