"""What a user may choose, and what it makes of a model's patches."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_wsimil.errors import WsimilError
from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.patches import PatchSpec, find_tissue, patch_grid
from napari_wsimil.slides import open_slide

MODEL = PatchSpec(2.0, 224, 112), PatchSpec(0.5, 224, 112, min_tissue=0.4)
SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))


def test_the_defaults_change_nothing():
    assert PatchOptions().applied(MODEL) == MODEL
    assert PatchOptions().as_json() == {}


def test_overlap_sets_the_same_stride_at_each_magnification():
    changed = PatchOptions(overlap=0.75).applied(MODEL)
    assert [(spec.mpp, spec.size, spec.stride) for spec in changed] == [(2.0, 224, 56), (0.5, 224, 56)]
    assert [PatchOptions(overlap=share).stride(256) for share in (0, 0.25, 0.5, 0.9)] == [256, 192, 128, 26]
    assert PatchOptions(overlap=0.94).stride(1) == 1


def test_overlapping_patches_nest(tiny_slide):
    with open_slide(tiny_slide) as slide:
        coarse, fine = (
            patch_grid(slide, spec.mpp, spec.size, stride=spec.stride)
            for spec in PatchOptions(overlap=0.7).applied((PatchSpec(1.0, 128), PatchSpec(0.5, 128)))
        )
        children = coarse.children(fine)
    np.testing.assert_array_equal(fine.cells[children[0]], [[0, 0], [0, 1], [1, 0], [1, 1]])
    assert (children[: len(coarse) // 2] >= 0).all()


def test_the_whole_slide_is_every_patch_of_it(tiny_slide):
    (spec,) = PatchOptions(tissue_only=False).applied((PatchSpec(0.5, 200, 200, min_tissue=0.9),))
    with open_slide(tiny_slide) as slide:
        tissue = find_tissue(slide, spec.tissue_method)
        places = patch_grid(slide, spec.mpp, spec.size, tissue, spec.stride, spec.min_tissue)
        np.testing.assert_array_equal(places.xy, patch_grid(slide, 0.5, 200).xy)
    inside = (places.xy + 200 <= (1536, 1280)).all(axis=1)
    np.testing.assert_allclose(places.tissue_fraction[inside], 1, rtol=1e-6)


def test_magnifications_are_looks_of_their_own():
    (one,) = PatchOptions(mpps=1).applied(MODEL[1:])
    assert (one.mpp, one.min_tissue) == (1.0, 0.4)
    assert [spec.mpp for spec in PatchOptions(mpps=(0.25, 1, 0.5)).applied(MODEL[:1])] == [1.0, 0.5, 0.25]
    with pytest.raises(WsimilError, match=r"looks at 2, 0\.5 µm per pixel together"):
        PatchOptions(mpps=(1.0,)).applied(MODEL)


def test_stain_goes_into_the_digest():
    (spec,) = PatchOptions(stain="macenko").applied(MODEL[:1])
    assert spec.normalisation == "macenko"
    assert spec.digest != MODEL[0].digest


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"overlap": 0.95}, "from 0 to below 0.95 .* not 0.95"),
        ({"overlap": -0.1}, "overlap is a share"),
        ({"overlap": float("nan")}, "overlap is a share"),
        ({"overlap": True}, "overlap is a share"),
        ({"overlap": "much"}, "not 'much'"),
        ({"mpps": ()}, "one magnification or several different"),
        ({"mpps": (0.5, 0.5)}, "one magnification or several different"),
        ({"mpps": 0}, "from 0.01 to 100"),
        ({"mpps": "0.5"}, "from 0.01 to 100"),
        ({"tissue_only": "no"}, "either true or false"),
        ({"inside": ()}, "at least three"),
        ({"inside": (((0, 0), (1, 1)),)}, "at least three"),
        ({"inside": 5}, "at least three"),
        ({"stain": "vahadane"}, "one of none, macenko, reinhard"),
        ({"stains": "macenko"}, "no option 'stains'; there are overlap, mpps,"),
    ],
)
def test_choices_that_make_no_sense_are_one_sentence(choices, words):
    with pytest.raises(WsimilError, match=words):
        PatchOptions.from_json(choices)


@pytest.mark.parametrize(
    "options",
    [
        PatchOptions(overlap=0.5, mpps=[1, 0.5], tissue_only=False, inside="drawn.geojson", stain="reinhard"),
        PatchOptions(inside=[np.array(SQUARE), [[5, 5], [6, 5], [6, 6]]]),
        PatchOptions(overlap=np.float32(0.25)),
    ],
)
def test_options_travel_as_json_and_pickled(options):
    assert PatchOptions.from_json(json.loads(json.dumps(options.as_json()))) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert options.inside is None or isinstance(options.inside, Path | tuple)
    hash(options)
