"""Predict a slide without a window: from a file to probabilities, regions, GeoJSON, CSV and a saved prediction.

python examples/predict_slide.py                         makes a small sample slide and predicts that
python examples/predict_slide.py slide.svs --out results
python examples/predict_slide.py slide.tif --mpp 0.5     where the file does not say its pixel size
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari_wsimil as ws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--model", default="bundled", help='"bundled", a folder or "hf:owner/name"')
    parser.add_argument("--mpp", type=float, help="µm per pixel of the finest level")
    parser.add_argument("--out", type=Path, default=Path("example-output"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.slide or ws.make_sample_slide(options.out / "sample.tiff", size=4096)

    with ws.open_slide(path, mpp=options.mpp) as slide:
        print(f"{slide.name}: {slide.width} x {slide.height} px, mpp {slide.mpp}, read as {slide.backend}")
        prediction = ws.predict(slide, options.model, on_progress=tell)
    print()
    for name, probability in prediction.probabilities.items():
        print(f"  {name:12} {probability:.3f}")

    mpp = min(prediction.attention)
    print(f"most attended patches at {mpp:g} µm per pixel (level-0 pixels):")
    best = prediction.attention[mpp].top(5)
    for (x, y), attention in zip(best.xy.tolist(), best.values.tolist(), strict=True):
        print(f"  x {x:6} y {y:6}  attention {attention:.4f}")

    stem = options.out / path.stem
    print("wrote", prediction.save(f"{stem}.prediction.h5"))
    print("wrote", ws.export(prediction, f"{stem}.geojson", threshold=0.9, top=5))
    print("wrote", ws.export(prediction, f"{stem}.csv"))


def tell(progress: ws.Progress) -> None:
    print(f"\r{progress.stage}: {progress.done} of {progress.total or '?'}", end="", flush=True)


if __name__ == "__main__":
    main()
