"""NDPI files as Hamamatsu's scanners write them, made on the spot: OpenSlide accepts them as "hamamatsu"."""

from __future__ import annotations

import io
import itertools
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

MCU_STARTS, MCU_STARTS_HIGH = 65426, 65432
PROPERTIES = "NDP.S/N=123456\r\nMacro.S/N=XYZ\r\nObjective.Lens.Magnificant=20\r\n"


@dataclass
class Strip:
    """One JPEG for a whole image, with the positions of its intervals behind the start of the JPEG."""

    data: bytes
    starts: list[int]


def encode(pixels, *, interval=None, subsampling=0, quality=90):
    """One JPEG of any width; `interval` = pixels between restart markers, None = no markers."""
    height, width = pixels.shape[:2]
    step = interval or width
    columns = [_encode_piece(pixels[:, left : left + step], interval, subsampling, quality) for left in range(0, width, step)]
    head = bytearray(columns[0][0])
    sof = head.index(b"\xff\xc0")
    stated = (height, width) if max(height, width) <= 65500 else (0, 0)
    head[sof + 5 : sof + 9] = struct.pack(">HH", *stated)
    data, starts = bytes(head), []
    pieces = [column[1][row] for row in range(len(columns[0][1])) for column in columns]
    for number, piece in enumerate(pieces):
        starts.append(len(data))
        marker = bytes((0xFF, 0xD0 + number % 8)) if number < len(pieces) - 1 else b"\xff\xd9"
        data += piece + marker
    return Strip(data, starts)


def _encode_piece(pixels, interval, subsampling, quality):
    """Header, and the data of each interval without its marker."""
    file = io.BytesIO()
    options = {"restart_marker_rows": 1} if interval else {}
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, "JPEG", quality=quality, subsampling=subsampling, optimize=False, **options)
    data = file.getvalue()
    sos = data.index(b"\xff\xda")
    begin = sos + 2 + int.from_bytes(data[sos + 2 : sos + 4], "big")
    body = np.frombuffer(data[begin:-2], np.uint8)
    marks = np.flatnonzero((body[:-1] == 0xFF) & ((body[1:] & 0xF8) == 0xD0))
    edges = [-2, *marks.tolist(), len(body)]
    parts = [body[left + 2 : right].tobytes() for left, right in itertools.pairwise(edges)]
    return data[:begin], parts


@dataclass
class Page:
    """One directory. `lens`: power of a level, -1 macro, -2 map; `record`: write McuStarts."""

    strip: Strip
    size: tuple[int, int]
    lens: float = 20.0
    plane: int = 0
    record: bool = True
    tags: dict = field(default_factory=dict)


def level(pixels, *, lens=20.0, plane=0, record=True, tags=None, **options):
    """A level from pixels."""
    return Page(encode(pixels, **options), pixels.shape[1::-1], lens, plane, record, tags or {})


def grey_map(pixels):
    """The map image: grey, uncompressed."""
    tags = {258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1])}
    return Page(Strip(pixels.tobytes(), []), pixels.shape[1::-1], -2.0, tags=tags)


def write_ndpi(path, pages, *, mpp=0.5, start=16):
    """Write the file; `start` = where the pixels begin (beyond 4 GB makes a sparse file)."""
    with Path(path).open("wb") as file:
        file.write(b"II*\0" + bytes(8))
        file.seek(start)
        link = 4
        for page in pages:
            offset = file.tell()
            file.write(page.strip.data)
            link = _write_directory(file, page, offset, mpp, link)
    return path


def _tags(page, offset, mpp):
    width, height = page.size
    resolution = [round(1e4 / mpp * 1000), 1000]
    tags = {
        254: (4, [0]), 256: (4, [width]), 257: (4, [height]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6]),
        271: (2, b"Hamamatsu\0"), 272: (2, b"C9600-12\0"), 273: (4, [offset]), 277: (3, [3]), 278: (4, [height]),
        279: (4, [len(page.strip.data)]), 282: (5, resolution), 283: (5, resolution), 296: (3, [3]),
        305: (2, b"NDP.scan 2.3.1\0"), 65420: (4, [1]), 65421: (11, [page.lens]), 65422: (9, [-1500]), 65423: (9, [2500]),
        65424: (9, [page.plane]), 65427: (2, b"reference 7\0"), 65449: (2, PROPERTIES.encode() + b"\0"),
    }  # fmt: skip
    if page.record and len(page.strip.starts) > 1:
        tags[MCU_STARTS] = (4, [start & 0xFFFFFFFF for start in page.strip.starts])
        tags[MCU_STARTS_HIGH] = (4, [start >> 32 for start in page.strip.starts])
    return {code: value for code, value in sorted((tags | page.tags).items()) if value}


def _write_directory(file, page, offset, mpp, link):
    """Write the values and the directory, enter it at `link`; returns where its own link stands."""
    entries, high = b"", b""
    for code, (kind, values) in _tags(page, offset, mpp).items():
        data = values if isinstance(values, bytes) else _pack(kind, values)
        count = len(data) if kind == 2 else len(values) // (2 if kind == 5 else 1)
        if len(data) > 4 or code in (MCU_STARTS, MCU_STARTS_HIGH):
            value = file.tell()
            file.write(data + bytes(len(data) % 2))
        else:
            # the lower half; what does not fit goes to the extension behind the directory
            value = values[0] if code == 273 else int.from_bytes(data.ljust(4, b"\0"), "little")
        entries += struct.pack("<HHII", code, kind, count, value & 0xFFFFFFFF)
        high += struct.pack("<I", value >> 32)
    at = file.tell()
    file.write(struct.pack("<H", len(entries) // 12) + entries + bytes(8) + high)
    end = file.tell()
    file.seek(link)
    file.write(struct.pack("<Q", at))
    file.seek(end)
    return at + 2 + len(entries)


def _pack(kind, values):
    letter = {3: "H", 4: "I", 5: "I", 7: "B", 9: "i", 11: "f"}[kind]
    return b"".join(struct.pack("<" + letter, value & 0xFFFFFFFF if letter == "I" else value) for value in values)
