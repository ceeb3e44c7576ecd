"""One process that reads damaged slides, thousands of them, and says of each what came out; started by `fuzzing`.

Lines of JSON come in, {"path": ..., "backend": ...}, and go out, {"outcome": ..., ...}. Outcomes: "read", "refused"
(SlideError in one sentence), "bad text" (SlideError otherwise), "exception", "pixels" (of a wrong shape), "memory".
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import pickle
import re
import resource
import sys
import traceback
import warnings
from pathlib import Path

BOUND = 700 << 20
"""Bytes that reading one small slide may take beyond what the process had."""
ADDRESS_SPACE = 3 << 29
"""Bytes of address space beyond what the process has after its imports."""
PATIENCE = 8
"""Seconds after which a slow one says where it is."""
_MODERATE = 1 << 22
"""Pixels of a level that is read as a whole."""
_ADDRESS = re.compile(r"at 0x[0-9a-f]{6,}|Traceback|\bobject at\b")


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # what a C library prints must not mix with the answers
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    _import()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _memory("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    faulthandler.enable()
    answers.write("ready\n")
    for line in sys.stdin:
        answers.write(json.dumps(_judge(**json.loads(line))) + "\n")


def _import():
    """Everything that reading may import, so that it does not count as memory of a slide."""
    import dask.array  # noqa: F401
    import imagecodecs
    import tifffile  # noqa: F401
    import wsidicom  # noqa: F401
    import zarr  # noqa: F401

    from napari_wsimil.slides import set_cache_limit

    set_cache_limit(32 << 20)
    for name in ("jpeg8_decode", "jpeg2k_decode", "lzw_decode", "zlib_decode", "webp_decode", "zstd_decode", "png_decode"):
        getattr(imagecodecs, name)


def _memory(name):
    """A line of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) << 10


def _judge(path, backend):
    from napari_wsimil.errors import SlideError

    # the high-water mark starts anew
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    faulthandler.dump_traceback_later(PATIENCE, file=sys.stderr)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            notices = _use(Path(path), backend)
            bad = [text for text in notices if not _is_sentence(text, path)]
            answer = {"outcome": "bad text", "text": bad[0]} if bad else {"outcome": "read", "notices": len(notices)}
        except SlideError as error:
            good = _is_sentence(str(error), path)
            answer = {"outcome": "refused" if good else "bad text", "text": str(error)}
        except AssertionError as error:
            answer = {"outcome": "pixels", "text": f"{error}\n{traceback.format_exc(limit=-6)}"}
        except Exception:
            answer = {"outcome": "exception", "text": traceback.format_exc(limit=-12)}
    faulthandler.cancel_dump_traceback_later()
    taken = _memory("VmHWM") - before
    if taken > BOUND and answer["outcome"] in ("read", "refused"):
        answer |= {"outcome": "memory", "text": f"{taken >> 20} MB"}
    kinds = {f"{about.category.__name__}: {str(about.message)[:120]}" for about in warned}
    kinds = [kind for kind in kinds if not kind.startswith("SlideWarning")]
    return answer | {"taken": taken, "warnings": sorted(kinds)}


def _is_sentence(text, path):
    folder = str(Path(path).parent)
    return text.endswith(".") and "\n" not in text and len(text) < 400 and folder not in text and not _ADDRESS.search(text)


def _use(path, backend):
    """Everything that a user does with a slide, in small; returns its notices."""
    from napari_wsimil.errors import SlideError
    from napari_wsimil.slides import open_slide

    with open_slide(path, backend=backend) as slide:
        repr(slide)
        _metadata(slide)
        _levels(slide)
        _scaled(slide)
        for name in slide._backend.associated_names():
            _attempt(lambda name=name: _check(slide.associated_images[name]))
        again = pickle.loads(pickle.dumps(slide))
        assert again.fingerprint == slide.fingerprint, "another fingerprint after pickling"
        again.close()
        notices = slide.notices
    try:
        slide.read_region(0, 0, 5, 5)
    except SlideError:
        return notices
    raise AssertionError("a closed slide is read")


def _metadata(slide):
    assert len(slide.fingerprint) == 32, "fingerprint"
    assert all(isinstance(part, str) for pair in slide.properties.items() for part in pair), "properties"
    assert slide.mpp is None or min(slide.mpp) > 0, "mpp"
    assert slide.objective_power is None or slide.objective_power > 0, "objective power"
    assert slide.icc_profile is None or isinstance(slide.icc_profile, bytes), "profile"
    assert isinstance(slide.vendor, str), "vendor"


def _levels(slide):
    for level in slide.levels:
        for x, y in ((0, 0), (level.width // 2, level.height // 2), (level.width - 20, level.height - 20)):
            scale = level.downsample
            _check(slide.read_region(x * scale, y * scale, 200, 150, level=level.index), (150, 200, 3))
        if level.width * level.height <= _MODERATE:
            _check(slide.read_region(0, 0, level.width, level.height, level=level.index), (level.height, level.width, 3))
    arrays = slide.pyramid()
    if slide.levels[-1].width * slide.levels[-1].height <= _MODERATE:
        _check(arrays[-1].compute(), arrays[-1].shape)
    _check(arrays[0][:300, :300].compute())


def _scaled(slide):
    x, y = slide.width / 2, slide.height / 2
    _check(slide.read_downsampled(x, y, 64, 64, (1.37, 1.37)), (64, 64, 3))
    _check(slide.read_downsampled(0, 0, 64, 48, (2.0, 2.0), resampling="dct"), (48, 64, 3))
    if slide.icc_profile:
        _attempt(lambda: _check(slide.read_region(0, 0, 64, 64, colour="srgb"), (64, 64, 3)))
    if slide.mpp is not None:
        mpp = slide.mpp[0]
        _check(slide.read_patches([(0, 0), (50, 20), (x, y), (slide.width, slide.height)], 64, 1.9 * mpp), (4, 64, 64, 3))


def _check(pixels, shape=None):
    assert pixels.dtype == "uint8", f"type {pixels.dtype}"
    assert pixels.shape[2:] == (3,) or len(pixels.shape) == 4, f"shape {pixels.shape}"
    assert shape is None or pixels.shape == tuple(shape), f"shape {pixels.shape}, not {shape}"


def _attempt(read):
    """A part that may be refused in a sentence while the rest works."""
    from napari_wsimil.errors import SlideError

    try:
        read()
    except SlideError as error:
        text = str(error)
        assert _is_sentence(text, "/no/folder/file"), f"text {text}"


if __name__ == "__main__":
    main()
