"""What the header of a JPEG says: sizes, and where its pieces end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JpegHead:
    """What the header of a JPEG says.

    Parameters
    ----------
    data
        From the start of the image to the end of the start-of-scan segment.
    sof
        Position of the start-of-frame marker in `data`.
    width, height
        As stated, which is wrong (often 0) where the image is larger than a JPEG can say.
    interval
        Blocks (MCUs) between two restart markers; 0 = there are none.
    block
        (width, height) of a block in pixels.
    baseline
        Whether it is sequential Huffman coding, of which an interval can be decoded alone.
    """

    data: bytes
    sof: int
    width: int
    height: int
    interval: int
    block: tuple[int, int]
    baseline: bool

    def sized(self, width: int, height: int) -> bytes:
        """The same header for a picture of another size."""
        at = self.sof + 5
        size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        return self.data[:at] + size + self.data[at + 4 :]


def read_jpeg_head(data: bytes) -> JpegHead:
    """Parse the header at the start of `data` (ITU-T T.81, annex B).

    Raises
    ------
    ValueError
        It is no JPEG of three 8-bit components in one scan.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    sof, interval, at = -1, 0, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker where one should be")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDD:
            interval = int.from_bytes(data[at + 4 : at + 6], "big")
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            sof = at
        at += 2 + length
        if marker == 0xDA:
            break
    else:
        raise ValueError("the header has no end")
    if sof < 0 or at > len(data):
        raise ValueError("the header is incomplete")
    return _head(data[:at], sof, interval)


def _head(data: bytes, sof: int, interval: int) -> JpegHead:
    precision, components = data[sof + 4], data[sof + 9]
    if precision != 8 or components != 3:
        raise ValueError(f"{components} components of {precision} bits")
    sampling = data[sof + 11 : sof + 11 + 9 : 3]
    return JpegHead(
        data=data,
        sof=sof,
        height=int.from_bytes(data[sof + 5 : sof + 7], "big"),
        width=int.from_bytes(data[sof + 7 : sof + 9], "big"),
        interval=interval,
        block=(8 * max(factor >> 4 for factor in sampling), 8 * max(factor & 15 for factor in sampling)),
        baseline=data[sof + 1] in (0xC0, 0xC1),
    )
