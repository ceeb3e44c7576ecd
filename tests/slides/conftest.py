"""Small slides made on the spot; `smooth` ones survive JPEG, so their pixels can be compared."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

APERIO = "Aperio Image Library v11.2.1 \n{w}x{h} (256x256) JPEG/RGB Q=90|AppMag = 40|MPP = {mpp}"


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin(x / 37 + k) * np.cos(y / 53 - k) for k in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def write_pyramid(path, levels, mpp=0.25, aperio=False, **options):
    """Write levels (arrays, finest first) as a tiled pyramid; the resolution tag says `mpp`, or an Aperio description does."""
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None, **options}
    height, width = levels[0].shape[:2]
    first = {"description": APERIO.format(w=width, h=height, mpp=mpp)} if aperio else {}
    if not aperio and mpp:
        options |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            file.write(level, subfiletype=int(number > 0 and not aperio), **(first if not number else {}), **options)
    return path


@pytest.fixture
def make_slide(tmp_path):
    """Factory: a slide of the given levels in a temporary folder."""

    def make(*levels, name="slide.tif", **options):
        return write_pyramid(tmp_path / name, levels, **options)

    return make


@pytest.fixture
def images():
    """`noise(h, w)` and `smooth(h, w)`."""
    return noise, smooth
