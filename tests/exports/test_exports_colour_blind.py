"""Colours that say something say it to colour-blind people too."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_wsimil.annotations.classes import class_colour
from napari_wsimil.exports import colours

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency, IEEE TVCG 15 (2009),
# severity 1.0, for linear RGB.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopes": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
}
DIFFERENT = 8.0
"""CIEDE2000; 2.3 is just noticeable side by side."""


def lab(rgb, who):
    """(n, 3) CIELAB of (n, 3) sRGB, 0 to 1, as some people see it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ SEEN_BY[who].T).clip(0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]


def numbers(*names):
    return np.array([list(bytes.fromhex(name[1:])) for name in names]) / 255


@pytest.mark.parametrize("who", SEEN_BY)
@pytest.mark.parametrize(
    "table", [colours.attention_colours(), colours.probability_colours()], ids=["attention", "probability"]
)
def test_more_is_lighter(table, who):
    lightness = lab(table[:, :3].astype(float), who)[:, 0]
    assert (np.diff(lightness) > 0.05).all()
    assert lightness[-1] - lightness[0] > 40


@pytest.mark.parametrize("who", SEEN_BY)
def test_boxes_differ_from_each_other_and_from_the_heatmap(who):
    boxes = lab(numbers(colours.TOP_COLOUR, colours.ANCHOR_COLOUR, *colours.ZOOM_COLOURS), who)
    assert min(deltaE_ciede2000(one, other) for one, other in combinations(boxes, 2)) > DIFFERENT
    # where attention is lower the heatmap is nearly clear
    heat = lab(colours.attention_colours()[100:, :3].astype(float), who)
    assert all(deltaE_ciede2000(box, heat).min() > DIFFERENT for box in boxes[:4])


@pytest.mark.parametrize("who", SEEN_BY)
def test_the_classes_that_are_offered_differ(who):
    names = ("tumour", "no tumour", "stroma", "necrosis", "artefact", "ignore")
    seen = lab(np.array([class_colour(name, 0) for name in names]) / 255, who)
    assert min(deltaE_ciede2000(one, other) for one, other in combinations(seen, 2)) > DIFFERENT
