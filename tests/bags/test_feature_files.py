"""Feature files in the layouts of TRIDENT and CLAM, made here byte for byte as those tools do, and what is wrong with some."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from feature_layouts import FEATURES, XY, clam, trident
from napari_wsimil.bags.feature_files import inspect_features, read_features, read_places
from napari_wsimil.errors import TrainingError


def test_trident(tmp_path):
    path = trident(tmp_path / "slide.h5")
    about = inspect_features(path)
    assert (about.count, about.width, about.mpp, about.encoder, about.has_places) == (6, 8, 0.5, "uni_v1", True)
    assert torch.equal(read_features(path), torch.from_numpy(FEATURES))
    places = read_places(path)
    np.testing.assert_array_equal(places.xy, XY)
    assert (places.size, places.stride, places.size_level0, places.stride_level0) == (256, 256, 512, 512)


def test_trident_with_overlap_steps_as_it_rounds(tmp_path):
    # 256 px at 20x from 0.23 µm per pixel: 556.52 px of level 0, 64 px of overlap are 139.13
    path = trident(tmp_path / "slide.h5", overlap=64, patch_size_level0=256 * 0.5 / 0.23)
    places = read_places(path)
    assert (places.stride, places.stride_level0) == (192, 557 - 139)
    assert places.size_level0 == pytest.approx(556.52, abs=0.01)


def test_ours_keeps_true_magnification_and_exact_steps(tmp_path):
    path = trident(tmp_path / "slide.h5", mpp_target=0.46, patch_size_level0=471.04)
    assert inspect_features(path).mpp == 0.46
    assert read_places(path).stride_level0 == 471.04


def test_clam(tmp_path):
    clam(tmp_path)
    for path in (tmp_path / "h5_files" / "slide.h5", tmp_path / "pt_files" / "slide.pt"):
        about = inspect_features(path)
        assert (about.count, about.width, about.mpp, about.has_places) == (6, 8, None, True)
        assert torch.equal(read_features(path), torch.from_numpy(FEATURES))
        places = read_places(path)
        np.testing.assert_array_equal(places.xy, XY)
        # nobody says how large a patch is: as far as neighbours are apart
        assert (places.size, places.size_level0, places.stride_level0) == (512, 512, 512)


def test_clam_patches_with_their_level(tmp_path):
    clam(tmp_path)
    path = tmp_path / "h5_files" / "slide.h5"
    with h5py.File(path, "a") as file:
        file["coords"].attrs.update(patch_size=256, patch_level=1, downsample=(4.0, 4.0))
    places = read_places(path)
    assert (places.size, places.size_level0) == (256, 1024)


def test_other_types_and_shapes(tmp_path):
    half = tmp_path / "half.h5"
    with h5py.File(half, "w") as file:
        file["features"] = FEATURES[None].astype(np.float16)
    assert inspect_features(half).count == 6
    assert not inspect_features(half).has_places
    assert read_places(half) is None
    assert read_features(half).dtype == torch.float32
    torch.save({"features": torch.from_numpy(FEATURES), "other": 3}, tmp_path / "named.pt")
    assert torch.equal(read_features(tmp_path / "named.pt"), torch.from_numpy(FEATURES))
    torch.save(torch.from_numpy(FEATURES).double(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert read_features(tmp_path / "old.pt").dtype == torch.float32


def test_large_finite_numbers_are_no_fault(tmp_path):
    torch.save(torch.full((4, 2), 3e38), tmp_path / "a.pt")
    assert len(read_features(tmp_path / "a.pt")) == 4


def test_a_heading_that_announces_too_much(tmp_path):
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("features", shape=(10**9, 10**5), dtype=np.float32, chunks=(512, 1024))
    with pytest.raises(TrainingError, match=r"huge\.h5 announces 400000\.0 GB of features, but only"):
        read_features(path)


class Evil:
    def __reduce__(self):
        return (print, ("loaded",))


def broken(folder):
    """Name -> (file, words of the sentence)."""
    cut = trident(folder / "cut.h5", np.ones((4000, 8), np.float32), np.zeros((4000, 2), np.int64))
    cut.write_bytes(cut.read_bytes()[:-60_000])
    text = folder / "text.h5"
    text.write_text("not HDF5")
    empty = trident(folder / "empty.h5", np.zeros((0, 8), np.float32), np.zeros((0, 2), np.int64))
    nan = FEATURES.copy()
    nan[2:4, 3] = np.nan
    other = folder / "other.h5"
    with h5py.File(other, "w") as file:
        file["feats"] = FEATURES
    flat = folder / "flat.h5"
    with h5py.File(flat, "w") as file:
        file["features"] = FEATURES[0]
    whole = folder / "whole.h5"
    with h5py.File(whole, "w") as file:
        file["features"] = np.ones((3, 2), np.int64)
    torch.save(Evil(), folder / "evil.pt")
    torch.save([1, 2], folder / "list.pt")
    torch.save(torch.from_numpy(FEATURES), folder / "short.pt")
    (folder / "short.pt").write_bytes((folder / "short.pt").read_bytes()[:300])
    return {
        "cut": (cut, "is damaged or incomplete .*; extract it again"),
        "text": (text, "can't be read as HDF5"),
        "empty": (empty, "has no patches: no tissue was found on the slide; delete its line"),
        "nan": (trident(folder / "nan.h5", nan), "has numbers that are not finite in 2 of 6 patches; extract it again"),
        "other": (other, r"holds no features \(it holds feats\)"),
        "flat": (flat, r"has features of shape \(8,\)"),
        "whole": (whole, "has features of type int64"),
        "evil": (folder / "evil.pt", "holds Python objects, which are never loaded"),
        "list": (folder / "list.pt", "holds no table of features"),
        "short": (folder / "short.pt", "is damaged"),
        "missing": (folder / "missing.h5", "There is no feature file"),
        "missing pt": (folder / "missing.pt", "There is no feature file"),
    }


def test_what_is_broken_is_a_sentence(tmp_path, capsys):
    for name, (path, words) in broken(tmp_path).items():
        with pytest.raises(TrainingError, match=words) as raised:
            read_features(path)
        assert path.name in str(raised.value), name
        assert "\n" not in str(raised.value)
        if name not in {"nan", "cut"}:
            with pytest.raises(TrainingError, match=words):
                inspect_features(path)
    assert "loaded" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damage_anywhere_is_a_sentence_or_harmless(tmp_path):
    random = np.random.default_rng(0)
    clam(tmp_path)
    torch.save(torch.from_numpy(FEATURES), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    good = [trident(tmp_path / "a.h5"), tmp_path / "pt_files" / "slide.pt", tmp_path / "old.pt"]
    said = []
    for path in good:
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(80):
            data = whole.copy()
            data[random.integers(len(data), size=5)] = random.integers(256, size=5)
            path.write_bytes(data[: random.integers(100, 2 * len(data))].tobytes())
            said.append(sentence_of(path))
    assert 60 < len(list(filter(None, said))) < 240
    assert not any("\n" in sentence for sentence in said if sentence)


def sentence_of(path):
    """What reading says, or None where it works."""
    try:
        assert inspect_features(path).width == read_features(path).shape[1]
        read_places(path)
    except TrainingError as error:
        return str(error)
    return None
