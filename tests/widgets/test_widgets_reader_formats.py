"""Which formats the plugin claims in napari: brightfield slides, not whatever else the same format may hold."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_wsimil.widgets import reader


def write_ome_zarr(folder, pixels, axes):
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.create_array("0", data=pixels, chunks=tuple(min(64, size) for size in pixels.shape))
    group.attrs["multiscales"] = [{"axes": [{"name": axis} for axis in axes], "datasets": [{"path": "0"}]}]
    return folder


def test_only_brightfield_ome_zarr_is_claimed(tmp_path):
    slide = write_ome_zarr(tmp_path / "a.zarr", np.zeros((3, 100, 100), np.uint8), "cyx")
    assert reader.get_reader(str(slide)) is reader.read_slide
    assert reader.get_reader(str(slide / ".zattrs")) is reader.read_slide
    for pixels, axes in ((np.zeros((100, 100), np.uint8), "yx"), (np.zeros((3, 100, 100), np.uint16), "cyx")):
        assert reader.get_reader(str(write_ome_zarr(tmp_path / "b.zarr", pixels, axes))) is None


def test_only_brightfield_czi_is_claimed(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi", reason="pip install 'napari-wsimil[czi]'")
    for name, channels, kind in (("slide", 3, np.uint8), ("fluorescence", 1, np.uint16)):
        with czi.create_czi(str(tmp_path / f"{name}.czi")) as file:
            file.write(np.zeros((100, 100, channels), kind), location=(0, 0), plane={"C": 0})
    assert reader.get_reader(str(tmp_path / "slide.czi")) is reader.read_slide
    assert reader.get_reader(str(tmp_path / "fluorescence.czi")) is None


def test_the_data_folder_of_an_mrxs_is_claimed(tmp_path):
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide" / "Slidedat.ini").write_text("[GENERAL]")
    assert reader.get_reader(str(tmp_path / "slide")) is None
    (tmp_path / "slide.mrxs").touch()
    assert reader.get_reader(str(tmp_path / "slide")) is reader.read_slide
