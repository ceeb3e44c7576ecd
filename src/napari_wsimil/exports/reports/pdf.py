"""The report as one page of A4, drawn with matplotlib's figures alone, without pyplot and its state."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from napari_wsimil import __version__
from napari_wsimil.exports.reports.content import PURPOSE, Content, Shown, report_content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_wsimil.exports.figures.rasters import Report
    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.slides import Slide

WIDTH, HEIGHT = 210.0, 297.0
"""A4 in mm."""
LEFT, RIGHT = 15.0, 195.0
MOST_REGIONS = 10
"""Pictures for which the page has room, in two rows."""
QUIET, WARN, STRONG, PALE = "#5c5c5c", "#a33c00", "#0072b2", "#9db8d6"

_MM_PER_INCH = 25.4
_ACROSS = 5
_REGION = 34.5
"""Height of a row of regions with their words."""
_LINE = 2.9
_FOOT = 12.0
_TEXT: dict[Any, Any] = {"pdf.fonttype": 42, "font.family": "DejaVu Sans", "text.parse_math": False}
"""Text that can be searched and copied, and in which a dollar sign is one."""
_MOST_BARS = 8
_MOST_NOTICES = 3


def write_pdf(prediction: SlidePrediction, slide: Slide, top: int, path: Path, report: Report) -> None:
    """Write the page."""
    drawn_pdf(report_content(prediction, slide, min(top, MOST_REGIONS), report), path)


def drawn_pdf(content: Content, path: Path) -> None:
    """Write what was gathered as PDF."""
    from matplotlib import rc_context

    with rc_context(_TEXT):
        figure = drawn_page(content)
        about = {"Title": f"{content.title}: {content.summary}", "Creator": f"napari-wsimil {__version__}", "Subject": PURPOSE}
        page = BytesIO()  # matplotlib trips over its own open file where the disk is full
        figure.savefig(page, format="pdf", dpi=300, metadata=about)
    path.write_bytes(page.getvalue())


def drawn_page(content: Content) -> Figure:
    """The page as a figure; call it within the settings of matplotlib that the file is written in."""
    page = _Page()
    page.text(LEFT, 20, textwrap.shorten(content.title, 70, placeholder="…"), size=15, weight="bold")
    page.text(RIGHT, 20, PURPOSE, size=8, weight="bold", color=WARN, ha="right")
    page.text(LEFT, 26.5, textwrap.shorten(content.summary, 110, placeholder="…"), size=10)
    y = _notices(page, content.notices, 31)
    y = _result(page, content, y + 5)
    blocks = [_Block.of(heading, rows) for heading, rows in content.facts.items() if rows]
    below = (14 + _region_rows(content) * _REGION) * bool(content.top) + 10 + max(_ends(blocks)) + _FOOT
    y = _pictures(page, content, y + 8, HEIGHT - below - 6)
    if content.top:
        y = _top(page, content, y + 8)
    _facts(page, blocks, y + 8)
    page.text(LEFT, HEIGHT - 9, f"{PURPOSE} {content.made}", size=6.5, color=QUIET)
    return page.figure


class _Page:
    """A sheet on which things are placed in mm from its top-left corner."""

    def __init__(self) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH / _MM_PER_INCH, HEIGHT / _MM_PER_INCH))

    def text(self, x: float, y: float, text: str, *, size: float = 7.5, **look: Any) -> None:
        """A line, or lines, whose first baseline is at y."""
        first = text.split("\n", 1)[0]
        if text == first:
            self.figure.text(x / WIDTH, 1 - y / HEIGHT, text, fontsize=size, va="baseline", **look)
            return
        for row, line in enumerate(text.split("\n")):
            self.text(x, y + row * size * 0.48, line, size=size, **look)

    def line(self, y: float) -> None:
        """A thin line across the page."""
        from matplotlib.lines import Line2D

        at = 1 - y / HEIGHT
        self.figure.add_artist(Line2D([LEFT / WIDTH, RIGHT / WIDTH], [at, at], color="#dddddd", linewidth=0.7))

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled box."""
        from matplotlib.patches import Rectangle

        corner = x / WIDTH, 1 - (y + height) / HEIGHT
        self.figure.add_artist(
            Rectangle(corner, width / WIDTH, height / HEIGHT, transform=self.figure.transFigure, color=colour, linewidth=0)
        )

    def dots(self, x: float, y: float, height: float) -> None:
        """A dotted line downwards."""
        from matplotlib.lines import Line2D

        ends = [1 - y / HEIGHT, 1 - (y + height) / HEIGHT]
        self.figure.add_artist(Line2D([x / WIDTH] * 2, ends, color="#1c1c1c", linewidth=1, linestyle=":"))

    def picture(self, shown: Shown, x: float, y: float, width: float, height: float) -> float:
        """The picture as large as fits, at the top left of a box of mm; returns where it ends below."""
        rows, columns = shown.pixels.shape[:2]
        scale = min(width / columns, height / rows)
        wide, high = columns * scale, rows * scale
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + high) / HEIGHT, wide / WIDTH, high / HEIGHT))
        axes.imshow(shown.pixels, interpolation="none", aspect="auto")
        axes.axis("off")
        return y + high

    def heading(self, y: float, text: str) -> None:
        """A line of text over a line."""
        self.text(LEFT, y, text, size=9.5, weight="bold")
        self.line(y + 1.6)


def _notices(page: _Page, notices: Sequence[str], y: float) -> float:
    """Sentences in the colour of warnings; the last of many says how many more there are."""
    shown = list(notices[:_MOST_NOTICES])
    if len(notices) > _MOST_NOTICES:
        shown[-1] = f"And {len(notices) - _MOST_NOTICES + 1} more notices, which stand in the prediction."
    for notice in shown:
        text = textwrap.fill(textwrap.shorten(notice, 260, placeholder="…"), 130)
        page.text(LEFT, y + 1.5, text, size=7, color=WARN)
        y += 3.4 * (1 + text.count("\n")) + 0.6
    return y


def _result(page: _Page, content: Content, y: float) -> float:
    page.heading(y, "Result")
    start, room = LEFT + 30, 45.0
    at = y + 4.5
    for bar in content.bars[:_MOST_BARS]:
        look: dict[str, Any] = {"weight": "bold"} if bar.chosen else {}
        page.text(LEFT, at + 2.6, textwrap.shorten(bar.name, 20, placeholder="…"), **look)
        page.box(start, at, room, 3.2, "#ececec")
        page.box(start, at, room * bar.value, 3.2, STRONG if bar.chosen else PALE)
        if content.mark is not None:
            page.dots(start + room * content.mark, at - 0.8, 4.8)
        page.text(start + room + 17, at + 2.6, bar.text, ha="right", **look)
        at += 5.2
    if len(content.bars) > _MOST_BARS:
        page.text(LEFT, at + 2.6, f"and {len(content.bars) - _MOST_BARS} more classes", color=QUIET)
        at += 5.2
    lines = "\n".join(textwrap.fill(sentence, 58) for sentence in content.result)
    page.text(LEFT + 98, y + 7, lines)
    return max(at - 2, y + 7 + 3.6 * lines.count("\n"))


def _region_rows(content: Content) -> int:
    return -(-len(content.top) // _ACROSS)


def _pictures(page: _Page, content: Content, y: float, lowest: float) -> float:
    page.heading(y, "What the model saw")
    width = (RIGHT - LEFT - 5) / 2
    # The heatmap is higher, by its legend: both at one scale.
    scale = min(width / content.heatmap.pixels.shape[1], (lowest - y - 8) / content.heatmap.pixels.shape[0])
    ends = []
    for shown, x in ((content.overview, LEFT), (content.heatmap, LEFT + width + 5)):
        rows, columns = shown.pixels.shape[:2]
        end = page.picture(shown, x, y + 4, columns * scale, rows * scale)
        page.text(x, end + 3.4, ", ".join(shown.lines), size=6.5, color=QUIET)
        ends.append(end + 3.4)
    return max(ends)


def _top(page: _Page, content: Content, y: float) -> float:
    page.heading(y, content.top_title)
    cell = (RIGHT - LEFT + 3) / _ACROSS
    side = _REGION - 10
    for number, shown in enumerate(content.top):
        row, column = divmod(number, _ACROSS)
        x, top = LEFT + column * cell, y + 4 + row * _REGION
        page.picture(shown, x, top, side, side)
        rank, first, *more = shown.lines
        page.text(x, top + side + 2.9, rank, size=7, weight="bold", color=STRONG)
        page.text(x + 4.5, top + side + 2.9, textwrap.shorten(first, 30, placeholder="…"), size=5.5)
        page.text(x + 4.5, top + side + 5.5, "\n".join(textwrap.shorten(line, 30, placeholder="…") for line in more), size=5.5)
    return y + 4 + _region_rows(content) * _REGION - 3


@dataclass(frozen=True)
class _Block:
    """A heading and its rows (name, lines of text)."""

    heading: str
    rows: tuple[tuple[str, list[str]], ...]

    @classmethod
    def of(cls, heading: str, rows: Mapping[str, str]) -> _Block:
        def lines(text: str) -> list[str]:
            return textwrap.wrap(textwrap.shorten(text, 190, placeholder="…"), 58) or [""]

        return cls(heading, tuple((name, lines(text)) for name, text in rows.items()))

    @property
    def height(self) -> float:
        return 4.6 + _LINE * sum(len(lines) for _, lines in self.rows)


def _ends(blocks: Sequence[_Block]) -> list[float]:
    """Heights of the two columns in mm, each block below the shorter one."""
    ends = [0.0, 0.0]
    for block in blocks:
        ends[ends[1] < ends[0]] += block.height
    return ends


def _facts(page: _Page, blocks: Sequence[_Block], y: float) -> None:
    page.heading(y, "Where this comes from")
    ends = [0.0, 0.0]
    for block in blocks:
        side = int(ends[1] < ends[0])
        x, at = LEFT + side * (RIGHT - LEFT + 6) / 2, y + 6.2 + ends[side]
        page.text(x, at, block.heading, size=7, weight="bold")
        for name, lines in block.rows:
            page.text(x, at + _LINE, name, size=6, color=QUIET)
            for line in lines:
                at += _LINE
                page.text(x + 20, at, line, size=6)
        ends[side] += block.height
