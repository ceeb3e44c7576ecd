"""Predict many slides: from a folder, list or manifest to one table and a report; started again, it goes on where it was.

python examples/cohort.py                                makes three small sample slides and predicts those
python examples/cohort.py /data/slides --out results --workers 2
python examples/cohort.py slides.csv --scheduler tcp://10.0.0.1:8786
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import napari_wsimil as ws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slides", nargs="?", type=Path, help="folder, list (.txt) or manifest (.csv)")
    parser.add_argument("--model", default="bundled", help='"bundled", a folder or "hf:owner/name"')
    parser.add_argument("--workers", type=int, help="processes on this computer; 0: none but this one")
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    parser.add_argument("--out", type=Path, default=Path("example-output"))
    options = parser.parse_args()
    slides = options.slides or sample_slides(options.out / "slides")

    result = ws.predict_cohort(
        slides, options.model, options.out / "results", workers=options.workers, scheduler=options.scheduler, on_event=tell
    )
    with result.table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            print(f"{row['name']:12} {row['status']:6} {row['predicted'] or row['error']}")
    print(f"{len(result.done)} done, {len(result.failed)} failed; see {result.report}")


def sample_slides(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(3):
        path = folder / f"sample-{seed}.tiff"
        if not path.exists():
            ws.make_sample_slide(path, kind="normal" if seed == 1 else "tumour", seed=seed, size=2048)
    return folder


def tell(event: ws.CohortEvent) -> None:
    if event.kind in ("done", "failed"):
        print(f"{event.done + event.failed} of {event.total}: {event.name} {event.kind}", flush=True)
    elif event.text:
        print(event.text)


# Workers are processes that import this file: without this line each of them would start workers of its own.
if __name__ == "__main__":
    main()
