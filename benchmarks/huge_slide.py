"""How much memory it takes to predict a slide of 100,000 x 100,000 px.

    python benchmarks/huge_slide.py [--ways NAME ...] [--quick] [--out FILE]

The slide is generated (`large_slides.py`); 55 % of it is tissue, about twice what a slide of that size usually has: some
20,700 patches of 256 px at 0.5 µm per pixel. That it is small on disk helps nobody: files are read piece by piece, not mapped
into memory, and every tile is decoded for itself.

Each prediction is a process of its own, from its start to its end. Memory is that of the process at most (`VmHWM` on Linux),
with those that it starts, and the table under it tells how much there was at the end of each stage.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from child_memory import GIGABYTE, Watched, run_watched
from side_by_side import options, publish

if TYPE_CHECKING:
    import argparse

    from napari_wsimil.inference import Progress

WANTED = 3 * GIGABYTE
WAYS = ("predict", "predict, new store", "predict, stored", "command line", "command line, new store", "ZoomMIL, ResNet-50")
STORES = {"predict, new store": "one", "predict, stored": "one", "command line, new store": "two"}
HEAD = "## A slide of 100,000 x 100,000 px"


def main() -> None:
    chosen = _arguments()
    # this process stays small: what makes slides and packages runs in another
    making = [sys.executable, __file__, "--make", *["--quick"] * chosen.quick]
    slide, zoom = subprocess.run(making, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-2:]
    found: dict[str, Watched] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in chosen.ways:
            print(f"  {way}", file=sys.stderr, flush=True)
            found[way] = run_watched(_command(way, Path(slide), zoom, Path(folder)))
    publish(chosen, f"{HEAD}\n\n{report(found)}")


def _arguments() -> argparse.Namespace:
    parser = options(__doc__, rounds=1, slide=False)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--make", action="store_true", help="only make the slide and the model, and print where they are")
    parser.add_argument("--child", nargs=3, metavar=("SLIDE", "MODEL", "STORE"), help="predict, and print what it took")
    chosen = parser.parse_args()
    if chosen.make:
        print(*make(quick=chosen.quick), sep="\n")
        sys.exit()
    if chosen.child:
        print(json.dumps(predict(*chosen.child)))
        sys.exit()
    return chosen


def make(*, quick: bool) -> tuple[Path, Path]:
    """Make the slide, and a package of ZoomMIL that takes ResNet-50; where both are."""
    from large_slides import huge_slide, tiny_slide
    from untrained import QUICK, package, resnet50

    from napari_wsimil.samples import sample_folder

    slide = tiny_slide() if quick else huge_slide()
    folder = sample_folder() / "benchmarks"
    encoder = resnet50(folder / ("resnet50-quick" if quick else "resnet50"), **QUICK if quick else {})
    zooms = (2.0, 1.0, 0.5) if quick else (8.0, 4.0, 1.0)
    model = folder / f"huge-zoommil{'-quick' * quick}"
    package(model, "zoommil", encoder, zooms, magnifications=3, selected=12)
    return slide, model


def _command(way: str, slide: Path, zoom: str, folder: Path) -> list[str]:
    """What to run for a way of predicting."""
    store = str(folder / STORES[way]) if way in STORES else ""
    if way.startswith("command line"):
        start = "import sys; from napari_wsimil.cli import main; sys.exit(main())"
        kept = ["--store", store] if store else []
        return [sys.executable, "-c", start, "predict", str(slide), "--out", str(folder / way), "--json", *kept]
    return [sys.executable, __file__, "--child", str(slide), zoom if way.startswith("ZoomMIL") else "bundled", store]


def predict(slide: str, model: str, store: str) -> dict[str, object]:
    """Predict in this process: patches encoded and in all, and stage -> memory in bytes when it was last seen."""
    import napari_wsimil as ws

    process, stages = psutil.Process(), {}
    loaded = ws.load_model(model)
    stages["Python, libraries and model"] = process.memory_info().rss

    def look(progress: Progress) -> None:
        stages[progress.stage] = process.memory_info().rss

    prediction = ws.predict(slide, loaded, store=store or None, on_progress=look)
    stages["Prediction"] = process.memory_info().rss
    patches = prediction.provenance["patches"]
    return {
        "encoded": sum(patches["encoded"].values()),
        "patches": sum(patches["counts"].values()),
        "stages": stages,
    }


def report(found: dict[str, Watched]) -> str:
    """The table, and below it where memory goes."""
    most = max(watched.peak for watched in found.values())
    reached = "reached" if most <= WANTED else "**not reached**"
    lines = [
        f"At most {most / GIGABYTE:.2f} GB; wanted: at most {WANTED / GIGABYTE:g} GB, {reached}.\n",
        "| prediction | patches on the slide | encoded | seconds | memory at most, GB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    stages: dict[str, dict[str, int]] = {}
    for way, watched in found.items():
        told = json.loads(watched.printed.strip().splitlines()[-1]) if not way.startswith("command line") else None
        counts = f"{told['patches']:,} | {told['encoded']:,}" if told else "|"
        lines.append(f"| {way} | {counts} | {watched.seconds:.1f} | {watched.peak / GIGABYTE:.2f} |")
        if told:
            stages[way] = told["stages"]
    names = list(dict.fromkeys(stage for told in stages.values() for stage in told))
    lines += ["", f"| memory after, GB | {' | '.join(stages)} |", f"| --- {'| ---: ' * len(stages)}|"]
    for name in names:
        cells = (f"{told[name] / GIGABYTE:.2f}" if name in told else "" for told in stages.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
