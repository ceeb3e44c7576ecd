"""Train a model from slides and their labels, evaluate it and predict with it, on generated slides so that it takes a minute.

python examples/train.py                                  makes twenty small slides, half of them with tumour
python examples/train.py --method dsmil --epochs 30
python examples/train.py --manifest slides.csv --out run  your own: a CSV with the columns slide and label

What comes of it is a folder: `model` (the package), `metrics.json`, `predictions.csv`, `plots` and `report.html`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import napari_wsimil as ws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, help="CSV with the columns slide and label")
    parser.add_argument("--method", default="abmil", help="one of `napari-wsimil methods`")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--slides", type=int, default=20, help="how many to make where there is no manifest")
    parser.add_argument("--out", type=Path, default=Path("example-output/training"))
    options = parser.parse_args()
    manifest = options.manifest or make_study(options.out.parent / "slides", options.slides)

    shares = {"validation": 0.25, "test": 0.25}
    settings = {"epochs": options.epochs, "learning_rate": 1e-3}
    run = ws.train(manifest, options.method, options.out, settings=settings, **shares, resume=True, on_event=tell)
    auc = run.metrics["figures"]["roc_auc"]
    print(f"test AUC {auc['value']} on {run.metrics['cases']} slides; see {run.folder / 'report.html'}")

    slide = ws.read_manifest(manifest).cases[0].path
    print(slide.name, dict(ws.predict(slide, run.model).probabilities))


def make_study(folder: Path, count: int) -> Path:
    """Write generated slides, every second one with tumour, and the manifest that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(count):
        kind = "normal" if seed % 2 else "tumour"
        path = folder / f"{kind}-{seed}.tiff"
        if not path.exists():
            ws.make_sample_slide(path, kind=kind, seed=seed, size=2048)
        rows.append([path.name, kind])
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["slide", "label"], *rows])
    return manifest


def tell(event) -> None:
    if event.kind == "epoch":
        loss, validation = event.data["losses"]["loss"], event.data["validation"]["loss"]
        print(f"epoch {event.epoch + 1}: loss {loss:.3f}, on validation slides {validation:.3f}")


if __name__ == "__main__":
    main()
