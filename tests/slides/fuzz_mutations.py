"""Damage for slide files: from a seed, always the same, and mostly where it hurts (headers, directories, XML, JPEG heads)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import tifffile

_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_LARGE = (0x100000000, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_BYTES = (0, 1, 0x7F, 0x80, 0xD0, 0xD9, 0xFE, 0xFF)
_WORDS = (
    b"0", b"-1", b"1", b"2", b"7", b"0.0001", b"1e308", b"-1e308", b"1e-320", b"nan", b"inf", b"", b"x", b"65536", b" ",
    b"99999999999999999999", b"2147483648", b"4294967295", b"10000000", b"\xff\xfe", b"\xc3\xb6", b"&#0;", b"<", b"&quot;",
)  # fmt: skip
_VALUES = (None, 0, -1, 1, 1.5, 1e308, 10**20, "", "x", "..", "/etc", [], {}, [0], [[]], True, "uint16", "nan", 1 << 31, 3, 4)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_ELEMENT = re.compile(rb"<[^<>]*>")
_ATTRIBUTE = re.compile(rb'="[^"]*"')
_TYPES = (1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 16, 17, 18, 0, 99)


@dataclass
class Anatomy:
    """Where the sensitive parts of an intact file lie.

    `spans`: name of a kind -> (start, stop) in bytes. `entries`: (position, size) of TIFF directory entries. `texts`: entry
    -> its text. `little`: byte order.
    """

    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    entries: list[tuple[int, int]] = field(default_factory=list)
    texts: dict[tuple[int, int], bytes] = field(default_factory=dict)
    little: bool = True

    def add(self, kind, start, stop):
        if stop > start:
            self.spans.setdefault(kind, []).append((start, stop))


def dissect(path):
    """The anatomy of a TIFF, DICOM, zip, CZI or small text file."""
    data = path.read_bytes()
    about = Anatomy()
    if data[:2] in (b"II", b"MM"):
        _dissect_tiff(path, data, about)
    elif data[128:132] == b"DICM":
        pixels = data.rfind(b"\xe0\x7f\x10\x00")
        about.add("values", 132, min(pixels, 1 << 16) if pixels > 0 else 4096)
        about.add("tile", pixels, pixels + 4096)
    elif data[:2] == b"PK":
        about.add("values", max(0, len(data) - 2048), len(data))
        about.add("header", 0, 128)
    elif data[:10] == b"ZISRAWFILE":
        about.add("header", 0, 600)
        for match in re.finditer(rb"ZISRAW[A-Z]+|DV|DE", data):
            about.add("values", match.start(), min(len(data), match.start() + 160))
    else:
        about.add("header", 0, min(len(data), 64))
    about.add("header", 0, min(len(data), 16))
    return about


def _dissect_tiff(path, data, about):
    about.little = data[:2] == b"II"
    with tifffile.TiffFile(path) as file:
        size = file.tiff.tagsize
        pages = list(file.pages)
        for page in list(pages):
            pages += list(page.pages) if page.subifds else []
        for page in pages:
            tags = list(page.tags)
            about.add("entry", page.offset, page.offset + 8 + size * len(tags))
            for tag in tags:
                about.entries.append((tag.offset, size))
                end = min(tag.valueoffset + tag.valuebytecount, len(data))
                if tag.code in (270, 700, 65449):
                    about.texts[tag.offset, size] = data[tag.valueoffset : end]
                    about.add("text", tag.valueoffset, end)
                else:
                    about.add("values", tag.valueoffset, min(end, tag.valueoffset + 4096))
            listed = [(o, c) for o, c in zip(page.dataoffsets, page.databytecounts, strict=False) if c]
            for offset, count in listed[:6] + listed[-1:]:
                about.add("tile", offset, offset + min(count, 700))


def damage(data, about, random):
    """Damaged bytes, and what was done, in words."""
    if data[:1] in (b"{", b"[") and random.random() < 0.8:
        return _damage_json(data, random)
    result = bytearray(data)
    done = []
    for _ in range(random.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        if not result:
            break
        operations = [*_ANYWHERE]
        if about.entries:
            operations += [_entry] * 8
        if about.texts:
            operations += [_text] * 5
        done.append(random.choice(operations)(result, about, random))
    return bytes(result), done


def _place(result, about, random):
    if about.spans and random.random() < 0.85:
        kind = random.choice(list(about.spans))
        start, stop = random.choice(about.spans[kind])
        return min(random.randrange(start, stop), len(result) - 1)
    return random.randrange(len(result))


def _number(result, about, random):
    spans = [start for parts in about.spans.values() for start, _ in parts] or [0]
    near = (len(result), len(result) - 1, len(result) + 1, 2 * len(result), random.choice(spans))
    return random.choice((*_NUMBERS, *near, random.getrandbits(32), random.randrange(1, 5000)))


def _write(result, at, data):
    data = data[: max(0, len(result) - at)]
    result[at : at + len(data)] = data


def _flip(result, about, random):
    count = random.choice((1, 1, 2, 4, 16))
    places = [_place(result, about, random) for _ in range(count)]
    for at in places:
        result[at] ^= 1 << random.randrange(8)
    return f"bits flipped at {places}"


def _byte(result, about, random):
    at = _place(result, about, random)
    result[at] = random.choice((*_BYTES, random.randrange(256)))
    return f"byte {at} = {result[at]}"


def _word(result, about, random):
    at, size = _place(result, about, random), random.choice((2, 2, 4, 4, 8))
    value = random.choice((_number(result, about, random), random.choice(_LARGE))) % (1 << 8 * size)
    order = random.choice(("little", "little", "big"))
    _write(result, at, value.to_bytes(size, order))
    return f"{size} bytes at {at} = {value} ({order})"


def _noise(result, about, random):
    at, size = _place(result, about, random), random.randrange(1, random.choice((8, 64, 600)))
    _write(result, at, random.choice((bytes(size), b"\xff" * size, random.randbytes(size))))
    return f"{size} bytes at {at} overwritten"


def _move(result, about, random):
    source, at, size = _place(result, about, random), _place(result, about, random), random.choice((2, 4, 8, 12, 20, 100, 1000))
    _write(result, at, bytes(result[source : source + size]))
    return f"{size} bytes at {at} copied from {source}"


def _cut(result, about, random):
    at, size = _place(result, about, random), random.choice((1, 2, 4, 12, 100, 3000))
    del result[at : at + size]
    return f"{size} bytes cut out at {at}"


def _insert(result, about, random):
    at, size = _place(result, about, random), random.choice((1, 2, 4, 12, 100, 3000))
    result[at:at] = random.randbytes(size)
    return f"{size} bytes put in at {at}"


def _truncate(result, about, random):
    at = random.choice((_place(result, about, random), random.randrange(len(result))))
    del result[max(1, at) :]
    return f"cut off at {at}"


def _entry(result, about, random):
    """A field of one directory entry: code, type, count or value."""
    at, size = random.choice(about.entries)
    wide = 8 if size == 20 else 4
    fields = {"code": (0, 2), "type": (2, 2), "count": (4, wide), "value": (4 + wide, wide)}
    name = random.choice(("code", "type", "count", "value", "value", "value"))
    offset, width = fields[name]
    value = random.choice(_TYPES) if name == "type" else _number(result, about, random) % (1 << 8 * width)
    if name == "code":
        source, _ = random.choice(about.entries)
        value = int.from_bytes(result[source : source + 2], "little" if about.little else "big")
    _write(result, at + offset, value.to_bytes(width, "little" if about.little else "big"))
    return f"{name} of the entry at {at} = {value}"


def _text(result, about, random):
    """Another text for one entry, written at the end of the file."""
    (at, size), text = random.choice(list(about.texts.items()))
    pattern = random.choice((_NUMBER, _NUMBER, _NUMBER, _ELEMENT, _ATTRIBUTE))
    found = list(pattern.finditer(text))
    if not found:
        return _noise(result, about, random)
    for match in sorted(random.sample(found, min(len(found), random.choice((1, 1, 1, 2, 5)))), key=lambda m: -m.start()):
        word = random.choice(_WORDS)
        new = {_NUMBER: word, _ELEMENT: random.choice((b"", match[0] * 2)), _ATTRIBUTE: b'="' + word + b'"'}[pattern]
        text = text[: match.start()] + new + text[match.end() :]
    wide = 8 if size == 20 else 4
    order = "little" if about.little else "big"
    _write(result, at + 4, len(text).to_bytes(wide, order) + len(result).to_bytes(wide, order))
    result += text
    return f"text of the entry at {at} = ...{text[max(0, match.start() - 20) : match.start() + 40]!r}"


_ANYWHERE = [_flip, _flip, _flip, _byte, _byte, _word, _word, _word, _noise, _noise, _move, _cut, _insert, _truncate]


def _damage_json(data, random):
    """Another value somewhere in a JSON document."""
    document = json.loads(data)
    spots = list(_spots(document)) or [([document], 0)]
    holder, key = random.choice(spots)
    what = random.choice(("set", "set", "set", "delete", "repeat"))
    if what == "set":
        holder[key] = random.choice(_VALUES)
    elif what == "delete":
        del holder[key]
    elif isinstance(holder, list):
        holder.extend([holder[key]] * random.choice((1, 3, 2000)))
    else:
        holder[str(key) + "x"] = holder[key]
    return json.dumps(document).encode(), [f"{what} {key!r} in JSON"]


def _spots(node):
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _spots(value)
