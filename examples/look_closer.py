"""Look closer at a prediction: regions as pictures, similar patches, another model beside it, a person's outlines, a report.

python examples/look_closer.py                                        a small sample slide, whose tumour is known
python examples/look_closer.py slide.svs --annotations slide.geojson --other my-model --out results
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari_wsimil as ws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--model", default="bundled", help='"bundled", a folder or "hf:owner/name"')
    parser.add_argument("--other", help="a second model to compare with; else overlapping patches with the same one")
    parser.add_argument("--annotations", type=Path, help="GeoJSON from QuPath or XML from ASAP")
    parser.add_argument("--out", type=Path, default=Path("example-output"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, annotations, out = options.slide, options.annotations, options.out
    if path is None:
        path = ws.make_sample_slide(out / "sample.tiff", size=4096)
        annotations = annotations or path.with_name("sample.truth.geojson")

    with ws.open_slide(path) as slide:
        prediction = ws.predict(slide, options.model, store=out / "features")
        print(f"{slide.name}: {prediction.predicted_class}")
        regions = ws.rank_patches(prediction, count=6)
        for region in regions:
            print(f"  {region.rank}. {region.ranking.label} {region.score:.4f} at {region.patch.centre}")
        print("wrote", ws.save_regions(slide, regions, out / "regions")[-1])

        alike = ws.similar_patches(prediction, regions[0].patch, store=out / "features", count=3)
        print("most like the first:", ", ".join(f"{one.patch.centre} ({one.score:.2f})" for one in alike))
        x, y = regions[0].patch.centre
        for mpp, seen in ws.patch_family(prediction, x, y).seen.items():
            print(f"the first at {mpp:g} µm/px: attention {seen.attention}, probability {seen.probability}")

        twice = ws.PatchOptions(overlap=0.5)
        other = ws.predict(slide, options.other or options.model, options=None if options.other else twice)
        print(ws.compare(prediction, other).verdict)

        if annotations:
            drawn = ws.read_annotations(annotations, origin=slide.origin)
            agreed = ws.agreement(prediction, drawn)
            print(f"{agreed.class_name} by {agreed.by}: AUC {agreed.auc}, Dice {agreed.dice} at {agreed.threshold:g}")
            print("wrote", ws.write_annotations(drawn, out / f"{path.stem}.xml", origin=slide.origin))

        figure = ws.FigureOptions(width=800, side_by_side=True)
        print("wrote", ws.export(prediction, out / f"{path.stem}.png", slide=slide, figure=figure))
        print("wrote", ws.export(prediction, out / f"{path.stem}.html", slide=slide, top=6))


if __name__ == "__main__":
    main()
