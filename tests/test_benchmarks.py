"""The I/O benchmarks run, quickly, and print a row for us and for the limit: so that they can't rot."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
PEERS = {"OpenSlide": "openslide", "tiffslide": "tiffslide", "napari-wsi (its dask level)": "napari_wsi"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(name, cache, *options):
    environment = {**os.environ, "NAPARI_WSIMIL_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(text):
    """First cell -> the other cells, of all tables."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [^-|]", line)]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.mark.parametrize(
    ("name", "ours", "limit"),
    [
        ("io_tiles", "ours: read_patches", "limit: libjpeg-turbo, tiles in memory"),
        ("io_window", "ours: read_region, out=", "limit: libjpeg-turbo, tiles in memory"),
        ("io_patches", 'ours: read_patches, resampling="dct"', "limit: libjpeg-turbo, each tile once"),
        ("io_dask", "ours: Slide.dask", "copying the window out of one array in memory"),
    ],
)
def test_a_reading_benchmark_gives_ours_and_the_limit(cache, tmp_path, name, ours, limit):
    page = tmp_path / "page.md"
    told = run(name, cache, "--quick", "--out", str(page))
    assert page.read_text().strip() == told.strip()
    found = rows(told)
    assert found[limit][2:] == ["1.00", "1.00"]
    assert all(float(cell) > 0 for cell in found[ours][:2])
    assert "A quick run" in told
    assert "gives other pixels" not in told
    for peer, module in PEERS.items():
        if peer in found:
            there = importlib.util.find_spec(module) is not None
            assert (found[peer][0] == "not installed") != there


def test_opening_is_measured_in_fresh_processes(cache):
    told = run("io_open", cache, "--quick", "--rounds", "1")
    assert all(float(cell) >= 0 for cell in rows(told)["ours"])
    assert told.count("does not import torch") == 2


def test_the_slide_of_the_benchmarks_is_a_coherent_aperio_pyramid(cache, monkeypatch):
    import numpy as np
    import openslide

    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(cache))
    from big_slide import small_slide

    with openslide.OpenSlide(small_slide()) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert (slide.properties["openslide.mpp-x"], slide.properties["openslide.objective-power"]) == ("0.25", "40")
        assert slide.level_downsamples == (1.0, 4.0, 16.0)
        assert list(slide.associated_images) == ["thumbnail"]
        full, quarter = (np.asarray(slide.read_region((0, 0), n, (s, s)).convert("RGB")) for n, s in ((0, 4096), (1, 1024)))
    mean = full.reshape(1024, 4, 1024, 4, 3).mean((1, 3))
    assert np.abs(mean - quarter).mean() < 4


@pytest.mark.gui
@pytest.mark.skipif(sys.platform == "linux" and "DISPLAY" not in os.environ, reason="needs a display")
def test_the_window_is_measured(cache):
    told = run("io_napari", cache, "--quick", "--rounds", "1", "--only", "ours")
    cells = rows(told)["ours"]
    assert all(float(cell) >= 0 for cell in cells)
