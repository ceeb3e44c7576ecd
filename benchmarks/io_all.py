"""All I/O benchmarks, one after the other, as one Markdown page.

    python benchmarks/io_all.py [--rounds N] [--quick] [--slide FILE] [--out FILE]

Each of them says in its own file what it measures. The window needs a display; without one its table says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import options

HERE = Path(__file__).parent
PARTS = ("io_tiles", "io_window", "io_patches", "io_open", "io_dask", "io_napari")
OWN_SLIDES = ("io_dask",)
HEAD = """# Reading and showing slides: measured beside others

`make bench-io` writes this page. All ways of one table take turns in one run; a ratio is the median of the ratios within its
rounds, and 1.00 is the limit that the machine sets. The head of the script named below a table says what it measures.
"""


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(rounds=None)
    chosen = parser.parse_args()
    page = [HEAD]
    for part in PARTS:
        print(f"{part} ...", file=sys.stderr, flush=True)
        page.append(f"{measured(part, chosen.rounds, chosen.quick, chosen.slide)}\n`benchmarks/{part}.py`\n")
        text = "\n".join(page)
        if chosen.out is not None:
            chosen.out.write_text(text)
    print(text)


def measured(part: str, rounds: int | None, quick: bool, slide: Path | None = None) -> str:
    """What one benchmark publishes, or why it does not."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "part.md"
        command = [sys.executable, str(HERE / f"{part}.py"), "--out", str(out)] + ["--quick"] * quick
        command += ["--rounds", str(rounds)] if rounds else []
        command += ["--slide", str(slide)] if slide and part not in OWN_SLIDES else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"## {part}\n\nNot measured: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}\n"
        return out.read_text()


if __name__ == "__main__":
    main()
