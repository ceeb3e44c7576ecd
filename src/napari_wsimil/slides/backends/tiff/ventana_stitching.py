"""How the tiles of a Ventana BIF are put together: areas of interest, and the mean overlap of their tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_wsimil.slides.backends.base import LONGEST_SIDE, UnsupportedError
from napari_wsimil.slides.backends.tiff.vendor import damaged, number, whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree import ElementTree as ET

    from napari_wsimil.slides.backends.tiff.planes import Plane

_MOST_AREAS = 1000


class Block(NamedTuple):
    """An area of interest that was scanned; all pairs are (x, y).

    Parameters
    ----------
    place
        Its top-left corner on the canvas in level-0 pixels.
    first
        Column and row of its first tile among the stored ones.
    tiles
        Columns and rows of tiles.
    """

    place: tuple[int, int]
    first: tuple[int, int]
    tiles: tuple[int, int]


class Stitching(NamedTuple):
    """`steps`: level-0 pixels from one tile to the next in x and y. `blocks`: the one on top first."""

    steps: tuple[float, float]
    blocks: list[Block]


class _Overlap:
    """Mean overlap in one direction, weighted by the scanner's confidence in each."""

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, pixels: float, confidence: float) -> None:
        self.total += pixels * confidence
        self.weight += confidence

    @property
    def mean(self) -> float:
        return self.total / self.weight if self.weight else 0.0


def read_stitching(name: str, root: ET.Element, plane: Plane) -> Stitching:
    """Take apart the `EncodeInfo` of level 0, whose tiles are stored in `plane`.

    Like OpenSlide this lays all tiles in steps of the mean overlap; the scanner measured each joint, but some so badly that
    tiles would be torn apart.

    Raises
    ------
    UnsupportedError
        It is joined in directions that are not known here, or its tiles overlap by more than half.
    SlideError
        It states what can't be.
    """
    infos = root.findall("SlideStitchInfo/ImageInfo") if root.tag == "EncodeInfo" else []
    origins = [origin for parent in root.iterfind("AoiOrigin") for origin in parent]
    if not infos or len(infos) != len(origins) or len(infos) > _MOST_AREAS:
        raise damaged(name, f"it states {len(infos)} scanned areas and {len(origins)} places for them")
    across, down = _Overlap(), _Overlap()
    blocks = []
    for info, origin in zip(infos, origins, strict=True):
        if not whole(name, info.attrib, "AOIScanned"):
            continue
        block = _block(name, info, origin, plane)
        _add_joints(name, info.iterfind("TileJointInfo"), block, (across, down))
        blocks.append(block)
    if not blocks:
        raise UnsupportedError(f"{name} holds no area that was scanned.")
    steps = plane.tile_size[0] - across.mean, plane.tile_size[1] - down.mean
    if not all(side <= 2 * step and step <= 2 * side for step, side in zip(steps, plane.tile_size, strict=True)):
        raise damaged(name, f"it states tiles that overlap by {across.mean:.6g} x {down.mean:.6g} pixels")
    return Stitching(steps, _turned(blocks, steps, plane.tile_size))


def _block(name: str, info: ET.Element, origin: ET.Element, plane: Plane) -> Block:
    """An area whose place still counts from the bottom of the slide."""
    tile = whole(name, info.attrib, "Width"), whole(name, info.attrib, "Height")
    if tile != plane.tile_size:
        raise damaged(name, f"it states tiles of {tile[0]} x {tile[1]} pixels, but stores {plane.tile_size}")
    corner = whole(name, origin.attrib, "OriginX"), whole(name, origin.attrib, "OriginY")
    if any(pixel % side for pixel, side in zip(corner, tile, strict=True)):
        raise UnsupportedError(f"{name} holds a scanned area that does not begin with a tile.")
    first = corner[0] // tile[0], corner[1] // tile[1]
    count = whole(name, info.attrib, "NumCols"), whole(name, info.attrib, "NumRows")
    stored = plane.columns, -(-plane.height // tile[1])
    if any(f < 0 or c < 1 or f + c > s for f, c, s in zip(first, count, stored, strict=True)):
        raise damaged(name, f"it states an area of {count[0]} x {count[1]} tiles, and has {stored[0]} x {stored[1]}")
    place = number(name, info.attrib, "Pos-X"), number(name, info.attrib, "Pos-Y")
    if max(map(abs, place)) > LONGEST_SIDE:
        raise damaged(name, f"it places a scanned area at x {place[0]:.6g}, y {place[1]:.6g}")
    return Block((int(place[0]), int(place[1])), first, count)


def _add_joints(name: str, joints: Iterable[ET.Element], block: Block, overlaps: tuple[_Overlap, _Overlap]) -> None:
    """Add what the scanner says of the joints between neighbours to the (horizontal, vertical) overlaps."""
    steps = {"RIGHT": (1, 0), "LEFT": (-1, 0), "UP": (0, -1)}
    for joint in joints:
        direction = joint.get("Direction", "")
        if direction not in steps:
            raise UnsupportedError(f"{name} joins tiles in a direction that is not known here ({direction[:20]!r}).")
        (x1, y1), (x2, y2) = (_tile_place(name, whole(name, joint.attrib, key), block) for key in ("Tile1", "Tile2"))
        if (x2 - x1, y2 - y1) != steps[direction]:
            raise damaged(name, "it joins tiles that are no neighbours")
        confidence = number(name, joint.attrib, "Confidence")
        if not 0 <= confidence <= 1e6:
            raise damaged(name, f"it is sure of a joint by {confidence:g}")
        vertical = direction == "UP"
        overlaps[vertical].add(number(name, joint.attrib, "OverlapY" if vertical else "OverlapX"), confidence)


def _tile_place(name: str, tile: int, block: Block) -> tuple[int, int]:
    """Column and row of a tile counted from 1 in the order of scanning: from the bottom up, every second row backwards."""
    columns, rows = block.tiles
    if not 1 <= tile <= columns * rows:
        raise damaged(name, f"it joins a tile {tile} of {columns * rows}")
    row, column = divmod(tile - 1, columns)
    return columns - 1 - column if row % 2 else column, rows - 1 - row


def _turned(blocks: list[Block], steps: tuple[float, float], tile: tuple[int, int]) -> list[Block]:
    """Blocks placed from the top of the slide, the last row's first: its tiles are on top."""
    heights = [int((block.tiles[1] - 1) * steps[1] + tile[1]) for block in blocks]
    top = max(0, *(block.place[1] + height for block, height in zip(blocks, heights, strict=True)))
    turned = [
        block._replace(place=(block.place[0], top - block.place[1] - height))
        for block, height in zip(blocks, heights, strict=True)
    ]
    return sorted(turned, key=lambda block: (block.first[1], block.first[0]), reverse=True)
