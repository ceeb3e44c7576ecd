from __future__ import annotations

import shutil
import sys
from copy import deepcopy

import imagecodecs
import numpy as np
import pydicom
import pytest
import simplejpeg
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_encoder
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends import dicom

TILE = 240
JPEG = "1.2.840.10008.1.2.4.50"


@pytest.mark.parametrize("name", ["cmu1_small_region.svs", "dicom_cmu"])
def test_label_is_read_only_by_name(real_data, name):
    images = open_slide(real_data(f"slides/{name}")).associated_images
    assert set(images) == {"thumbnail", "macro"}
    assert images["thumbnail"].shape == (768, 574, 3)
    assert images["label"].shape == (463, 387, 3)
    with pytest.raises(KeyError):
        images["barcode"]


def test_real_series_is_what_openslide_shows(real_data):
    folder = real_data("slides/dicom_cmu")
    with open_slide(folder) as slide, open_slide(folder, backend="openslide") as reference:
        assert (slide.backend, reference.backend) == ("dicom", "openslide")
        size = (0, 0, slide.width, slide.height)
        assert (slide.read_region(*size) == reference.read_region(*size)).all()
        for name in ("thumbnail", "macro", "label"):
            assert (slide.associated_images[name] == reference.associated_images[name]).all()
        assert slide.fingerprint == reference.fingerprint
        assert slide.mpp == pytest.approx(reference.mpp)
        profile = slide._backend.metadata.icc_profile
        assert (len(profile), profile[36:40]) == (588, b"acsp")
        assert profile == reference._backend.metadata.icc_profile


def test_folder_and_any_member_are_one_slide(real_data):
    folder = real_data("slides/dicom_cmu")
    whole = open_slide(folder)
    for member in folder.iterdir():
        part = open_slide(member)
        assert part.fingerprint == whole.fingerprint
        assert (part.width, part.height) == (whole.width, whole.height)
        assert set(part.associated_images) == {"thumbnail", "macro"}


@pytest.fixture
def volume(real_data):
    """(data set of the level without pixels, its 10 x 13 frames as JPEG)."""
    for file in real_data("slides/dicom_cmu").iterdir():
        found = pydicom.dcmread(file)
        if "VOLUME" in found.ImageType:
            frames = list(generate_frames(found.PixelData, number_of_frames=found.NumberOfFrames))
            del found.PixelData
            return found, frames
    raise AssertionError


def decode(frames):
    """Frames of JPEG put together to 3 x 2 tiles."""
    tiles = [simplejpeg.decode_jpeg(frame) for frame in frames]
    return np.concatenate([np.concatenate(tiles[row * 3 : row * 3 + 3], axis=1) for row in range(2)])


def cut(pixels):
    """The tiles of `decode`'s pixels."""
    return [
        np.ascontiguousarray(pixels[y : y + TILE, x : x + TILE])
        for y in range(0, 2 * TILE, TILE)
        for x in range(0, 3 * TILE, TILE)
    ]


@pytest.fixture
def frames(volume):
    """Six frames with tissue in them, as JPEG."""
    return [volume[1][row * 10 + column] for row in (4, 5) for column in (3, 4, 5)]


@pytest.fixture
def make(volume, tmp_path):
    """Factory: a level of 3 x 2 tiles in a file of its own; returns the file."""

    def make_file(frames, name="a.dcm", syntax=JPEG, size=(700, 470), folder=tmp_path, **changes):
        data = deepcopy(volume[0])
        data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = size
        data.NumberOfFrames = len(frames)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.file_meta.TransferSyntaxUID = syntax
        for key, value in changes.items():
            setattr(data, key, value)
        data.PixelData = b"".join(frames) if syntax == ExplicitVRLittleEndian else encapsulate(frames)
        data["PixelData"].VR = "OB"
        folder.mkdir(exist_ok=True)
        data.save_as(folder / name, enforce_file_format=True)
        return folder / name

    return make_file


def test_jpeg_pixels_exactly(make, frames):
    slide = open_slide(make(frames))
    assert (slide.width, slide.height, slide.levels[0].tile_size, slide.notices) == (700, 470, (TILE, TILE), ())
    assert (slide.read_region(0, 0, 700, 470) == decode(frames)[:470, :700]).all()


def test_jpeg_that_holds_rgb_without_saying_so(make, real_data):
    path = real_data("slides/cmu1_small_region.svs")
    with tifffile.TiffFile(path) as file, path.open("rb") as raw:
        page = file.pages[0]
        frames = []
        for index in (43, 44, 45, 53, 54, 55):
            raw.seek(page.dataoffsets[index])
            data = raw.read(page.databytecounts[index])
            frames.append(page.jpegtables[:-2] + data[2:])
    with open_slide(path) as slide:
        expected = slide.read_region(3 * TILE, 4 * TILE, 720, 480)
    shown = open_slide(make(frames, PhotometricInterpretation="RGB", size=(720, 480))).read_region(0, 0, 720, 480)
    assert (shown == expected).all()


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_jpeg_that_openslide_refuses(make, frames, subsampling):
    again = [simplejpeg.encode_jpeg(tile, 90, "RGB", subsampling) for tile in cut(decode(frames))]
    shown = open_slide(make(again, PhotometricInterpretation="YBR_FULL")).read_region(0, 0, 700, 470)
    assert (shown == decode(again)[:470, :700]).all()


@pytest.mark.parametrize("colours", ["RGB", "YBR_RCT"])
def test_jpeg_2000(make, frames, colours):
    pixels = decode(frames)
    tiles = [
        imagecodecs.jpeg2k_encode(tile, level=0, reversible=True, mct=colours == "YBR_RCT", codecformat="j2k")
        for tile in cut(pixels)
    ]
    shown = open_slide(make(tiles, syntax=JPEG2000Lossless, PhotometricInterpretation=colours)).read_region(0, 0, 700, 470)
    assert (shown == pixels[:470, :700]).all()


def test_pixels_that_are_not_compressed(make, frames):
    pixels = decode(frames)
    tiles = [tile.tobytes() for tile in cut(pixels)]
    path = make(tiles, syntax=ExplicitVRLittleEndian, PhotometricInterpretation="RGB")
    assert (open_slide(path).read_region(0, 0, 700, 470) == pixels[:470, :700]).all()


def run_lengths(tile):
    about = {"rows": TILE, "columns": TILE, "samples_per_pixel": 3, "bits_allocated": 8, "bits_stored": 8}
    about |= {"pixel_representation": 0, "photometric_interpretation": "RGB", "number_of_frames": 1, "planar_configuration": 0}
    return get_encoder(RLELossless).encode(tile, **about)


def test_run_lengths(make, frames):
    pixels = decode(frames)
    tiles = [run_lengths(tile) for tile in cut(pixels)]
    shown = open_slide(make(tiles, syntax=RLELossless, PhotometricInterpretation="RGB")).read_region(0, 0, 700, 470)
    assert (shown == pixels[:470, :700]).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_ycbcr_that_the_decoder_leaves_as_it_is(make, frames, syntax):
    pixels = decode(frames)
    parts = [np.asarray(Image.fromarray(tile).convert("YCbCr")) for tile in cut(pixels)]
    how = {"level": 0, "reversible": True, "mct": False, "codecformat": "j2k"}
    encode = run_lengths if syntax == RLELossless else lambda tile: imagecodecs.jpeg2k_encode(tile, **how)
    path = make([encode(part) for part in parts], syntax=syntax, PhotometricInterpretation="YBR_FULL")
    shown = open_slide(path).read_region(0, 0, 700, 470)
    assert np.abs(shown.astype(int) - pixels[:470, :700]).max() <= 3


def position(column, row):
    place, item = pydicom.Dataset(), pydicom.Dataset()
    place.ColumnPositionInTotalImagePixelMatrix, place.RowPositionInTotalImagePixelMatrix = column * TILE + 1, row * TILE + 1
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = place.ZOffsetInSlideCoordinateSystem = "0"
    item.PlanePositionSlideSequence = [place]
    return item


def test_sparse_tiles_are_white_where_nothing_was_scanned(make, frames):
    # in an order of their own, the first and the fifth left out
    order = [(5, (2, 1)), (1, (1, 0)), (3, (0, 1)), (2, (2, 0))]
    places = [position(*place) for _, place in order]
    about = {"DimensionOrganizationType": "TILED_SPARSE", "PerFrameFunctionalGroupsSequence": places}
    slide = open_slide(make([frames[number] for number, _ in order], **about))
    expected = decode(frames)
    expected[:TILE, :TILE] = 255
    expected[TILE:, TILE : 2 * TILE] = 255
    assert (slide.read_region(0, 0, 700, 470) == expected[:470, :700]).all()
    assert slide.notices == ()


@pytest.fixture
def concatenation(make, frames, tmp_path):
    """One level in two files of three frames; returns the folder."""
    about = {
        "ConcatenationUID": generate_uid(),
        "SOPInstanceUIDOfConcatenationSource": generate_uid(),
        "InConcatenationTotalNumber": 2,
    }
    for number in (1, 2):
        part = frames[number * 3 - 3 : number * 3]
        about |= {"InConcatenationNumber": number, "ConcatenationFrameOffsetNumber": number * 3 - 3}
        make(part, name=f"part{number}.dcm", folder=tmp_path / "series", **about)
    return tmp_path / "series"


def test_concatenation(concatenation, frames):
    slide = open_slide(concatenation / "part2.dcm")
    assert (slide.read_region(0, 0, 700, 470) == decode(frames)[:470, :700]).all()
    assert slide.notices == ()


@pytest.mark.parametrize(("missing", "rows"), [(1, slice(0, TILE)), (2, slice(TILE, 470))])
def test_missing_part_of_a_level_is_said_once_and_the_rest_works(concatenation, frames, missing, rows):
    (concatenation / f"part{missing}.dcm").unlink()
    slide = open_slide(concatenation)
    expected = decode(frames)[:470, :700]
    expected[rows] = 255
    assert (slide.read_region(0, 0, 700, 470) == expected).all()
    assert slide.notices == ("series lacks a part of this DICOM series, shown as background; copy all files of the series.",)


@pytest.fixture
def pyramid(make, frames, tmp_path):
    """Two levels, of 3 x 2 and (at half the size) 2 x 1 tiles; returns the folder."""
    folder = tmp_path / "levels"
    fine = make(frames, "fine.dcm", folder=folder)
    coarse = deepcopy(pydicom.dcmread(fine).SharedFunctionalGroupsSequence)
    coarse[0].PixelMeasuresSequence[0].PixelSpacing = ["0.000998", "0.000998"]
    about = {"SharedFunctionalGroupsSequence": coarse, "ImageType": ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]}
    make(frames[4:], "coarse.dcm", folder=folder, size=(350, 235), **about)
    return folder


def test_levels(pyramid, frames):
    slide = open_slide(pyramid)
    assert [(level.width, level.height, level.downsample) for level in slide.levels] == [(700, 470, 1), (350, 235, 2)]
    assert (slide.read_region(0, 0, 240, 235, level=1) == simplejpeg.decode_jpeg(frames[4])[:235]).all()
    assert slide.notices == ()


def test_missing_finest_level_is_said(pyramid):
    (pyramid / "fine.dcm").unlink()
    slide = open_slide(pyramid)
    assert (slide.width, slide.mpp) == (350, pytest.approx((0.998, 0.998)))
    assert slide.notices == ("levels lacks the finest level of this DICOM series; copy all files of the series to see it.",)


def test_damaged_header_beside_is_said_and_left_out(pyramid):
    (pyramid / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 500)
    slide = open_slide(pyramid)
    assert len(slide.levels) == 2
    assert slide.notices == ("levels was opened without broken.dcm, whose DICOM header is damaged; copy it again.",)
    with pytest.raises(SlideError, match=r"broken.dcm is a DICOM file whose header is damaged"):
        open_slide(pyramid / "broken.dcm")


def test_damaged_frame_is_background_and_said_once(make, frames):
    frames[1] = frames[1][:200] + bytes(len(frames[1]) - 200)
    slide = open_slide(make(frames))
    expected = decode([frames[0], frames[0], *frames[2:]])[:470, :700]
    expected[:TILE, TILE : 2 * TILE] = 255
    for _ in range(2):
        assert (slide.read_region(0, 0, 700, 470) == expected).all()
    assert len(slide.notices) == 1
    assert "damaged tile at x 240, y 0 (level 0" in slide.notices[0]


def test_frame_of_another_size_is_damaged(make, frames):
    frames[0] = simplejpeg.encode_jpeg(np.zeros((500, 500, 3), np.uint8))
    frames[1] = simplejpeg.encode_jpeg(np.zeros((100, 100, 3), np.uint8))
    slide = open_slide(make(frames))
    assert (slide.read_region(0, 0, 480, 240) == 255).all()
    assert len(slide.notices) == 2


def test_file_cut_off_shows_what_is_there(make, frames, tmp_path):
    whole = make(frames).read_bytes()
    cut_off = tmp_path / "cut" / "cut.dcm"
    cut_off.parent.mkdir()
    cut_off.write_bytes(whole[:-2000])
    slide = open_slide(cut_off)
    shown = slide.read_region(0, 0, 700, 470)
    expected = decode(frames)[:470, :700]
    expected[TILE:, 2 * TILE :] = 255
    assert (shown == expected).all()
    assert len(slide.notices) == 1


def test_several_slides_in_a_folder(make, frames, tmp_path):
    first = make(frames, "a.dcm")
    other = make(frames[::-1], "b.dcm", SeriesInstanceUID=generate_uid())
    with pytest.raises(SlideError, match=r"holds 2 DICOM slides \(series\); open one file of the slide you want"):
        open_slide(tmp_path)
    assert open_slide(first).fingerprint != open_slide(other).fingerprint
    assert (open_slide(other).read_region(0, 0, 700, 470) == decode(frames[::-1])[:470, :700]).all()


def test_other_dicom_files_beside_do_no_harm(make, frames, tmp_path):
    make(frames, "a.dcm")
    tomography = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SeriesInstanceUID": generate_uid()}
    other = make(frames, "ct.dcm", **tomography)
    (tmp_path / "notes.txt").write_text("one slide and a CT")
    assert open_slide(tmp_path).width == 700
    with pytest.raises(SlideError, match=r"ct.dcm is a DICOM file, but no whole-slide image: it holds CT Image Storage"):
        open_slide(other)
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(SlideError, match="no whole-slide image among them"):
        open_slide(tmp_path)


def test_what_names_the_patient_stays_in_the_file(make, frames):
    names = {
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "ReferringPhysicianName": "House^Gregory",
        "AccessionNumber": "S-123",
    }
    slide = open_slide(make(frames, Manufacturer="Leica", **names, ContainerIdentifier="Doe-1"))
    told = repr(slide.properties)
    assert slide.properties["dicom.Manufacturer"] == "Leica"
    assert not [name for name in ("Doe", "4711", "House", "S-123") if name in told]


def test_objective_power(make, frames, volume):
    optics = deepcopy(volume[0].OpticalPathSequence)
    optics[0].ObjectiveLensPower = "40"
    assert open_slide(make(frames, OpticalPathSequence=optics)).objective_power == 40


def test_grey_images_are_refused(make, frames):
    grey = [tile[..., 0].tobytes() for tile in cut(decode(frames))]
    about = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    with pytest.raises(SlideError, match="8-bit DICOM images of 1 colours; only brightfield"):
        open_slide(make(grey, syntax=ExplicitVRLittleEndian, **about))


def test_absurd_sizes_are_refused_before_memory_is_taken(make, frames):
    with pytest.raises(SlideError, match="which is no slide"):
        open_slide(make(frames, size=(2**32 - 1, 2**32 - 1)))


def test_without_wsidicom_openslide_reads_it(real_data, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    with caplog.at_level("INFO"):
        slide = open_slide(real_data("slides/dicom_cmu"))
    assert (slide.backend, slide.width) == ("openslide", 2220)
    assert len(slide.notices) == 1
    assert "opened through OpenSlide" in slide.notices[0]
    assert "wsidicom" in caplog.text


def test_scaled_decoding(make, frames):
    backend = open_slide(make(frames))._backend
    assert backend.reduces
    small = backend.read_tile_reduced(0, 1, 1, 4)
    mean = simplejpeg.decode_jpeg(frames[4]).reshape(60, 4, 60, 4, 3).mean(axis=(1, 3))
    assert small.shape == (60, 60, 3)
    assert np.abs(small - mean).mean() < 1.5
    about = {"PhotometricInterpretation": "RGB", "SeriesInstanceUID": generate_uid()}
    native = make([bytes(TILE * TILE * 3)] * 6, "native.dcm", syntax=ExplicitVRLittleEndian, **about)
    assert not open_slide(native)._backend.reduces


def test_closed(real_data, tmp_path):
    folder = shutil.copytree(real_data("slides/dicom_cmu"), tmp_path / "copy")
    slide = open_slide(folder)
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        slide.read_region(0, 0, 10, 10)
    with pytest.raises(SlideError, match="was closed"):
        slide._backend.read_tile(0, 0, 0)


def test_opening_decodes_no_pixel(make, frames, monkeypatch):
    path = make(frames)
    read = []
    original = dicom.DicomBackend.read_tile
    monkeypatch.setattr(dicom.DicomBackend, "read_tile", lambda self, *at: read.append(at) or original(self, *at))
    open_slide(path).pyramid()
    assert read == []
