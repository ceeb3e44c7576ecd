"""Bags of images."""

import pytest
import torch

from napari_wsimil.bags import Bag
from napari_wsimil.bags.images import ImageBag


def test_pixels_become_numbers_between_0_and_1():
    pixels = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    pixels[1] = 255
    bag = ImageBag(pixels, mpp=0.5)
    assert isinstance(bag, Bag)
    assert bag.mpps == (0.5,)
    assert len(bag) == 3
    assert bag.features(0.5).dtype == torch.float32
    assert bag.features(0.5).mean(dim=(1, 2, 3)).tolist() == [0, 1, 0]
    assert bag.features(0.5, torch.tensor([1])).unique().tolist() == [1]


@pytest.mark.parametrize(
    "pixels", [torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(0, 3, 4, 4).byte()]
)
def test_other_tables_are_refused(pixels):
    with pytest.raises(ValueError, match="Images of shape"):
        ImageBag(pixels)


def test_images_from_no_slide_have_no_places():
    bag = ImageBag(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    for asked in (lambda: bag.grid(1.0), lambda: bag.features(2.0), lambda: bag.children(1.0, 0.5)):
        with pytest.raises(KeyError):
            asked()
