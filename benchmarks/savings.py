"""What need not be computed: zooming, a huge slide in little memory, stored features; as one Markdown page.

    python benchmarks/savings.py [--quick] [--out docs/speed-predict-zoom.md]

Each part says in its own file what it measures, and can be run alone.
"""

from __future__ import annotations

import sys

from io_all import measured
from side_by_side import options

PARTS = ("zoom_saving", "huge_slide", "second_model")
HEAD = """# What need not be computed

`make bench-saving` writes this page (about a quarter of an hour on two cores). The head of the script named below a table says
what it measures.
"""


def main() -> None:
    parser = options(__doc__, slide=False)
    parser.set_defaults(rounds=None)
    chosen = parser.parse_args()
    page = [HEAD]
    for part in PARTS:
        print(f"{part} ...", file=sys.stderr, flush=True)
        page.append(f"{measured(part, chosen.rounds, chosen.quick)}\n`benchmarks/{part}.py`\n")
        if chosen.out is not None:
            chosen.out.write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    main()
