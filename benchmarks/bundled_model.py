"""Slide AUC and patch AUC of the bundled model on generated slides that it was never trained on.

python benchmarks/bundled_model.py            40 slides, 10 of them with patch figures
python benchmarks/bundled_model.py --slides 8
"""

from __future__ import annotations

import argparse

import napari_wsimil as ws
from napari_wsimil.training.bundled.accuracy import measure
from napari_wsimil.training.bundled.making import Recipe, tell_slide


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--slides", type=int, default=Recipe.accuracy_slides)
    options = parser.parse_args()
    first = Recipe.accuracy_seed
    accuracy = measure(
        ws.load_model(options.model), range(first, first + options.slides), size=Recipe.size, on_slide=tell_slide
    )
    print()
    for name, value in accuracy.summary().items():
        print(f"{name:22} {value}")
    good = accuracy.slide_auc >= 0.95 and accuracy.attention_auc >= 0.90
    print("reached" if good else "NOT reached", "(slide AUC >= 0.95, patch AUC of attention >= 0.90)")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
