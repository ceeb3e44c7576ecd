"""A model that looks at ink is put right with four regions on two slides: the experiment of docs/results/correction.md.

    python benchmarks/correction.py [--work FOLDER] [--out docs/results] [--seeds 0 1 2] [--hidden 0.5 0] [--report] [--quick]

For each seed: generated slides with a planted confounder (`correction_slides.py`) and their features, stored; a model by
`ws.train`; four regions on two training slides (`correction_marks.py`); `ws.correct` with what it does by default, with other
parts of the network, and with the same slides' labels but no marks; figures on the same fresh slides before and after
(`correction_measure.py`). What is finished is kept: it can be stopped anywhere and goes on there. `--report` only writes the
page from what is finished. `--quick` is a rehearsal with a few small slides: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from correction_marks import corrections, without_marks
from correction_measure import figures, view
from correction_page import publish
from correction_picture import draw
from correction_slides import NORMAL, TUMOUR, Amounts, MadeSlide, make_slides, without_confounder, write_manifest

import napari_wsimil as ws
from napari_wsimil.training.corrections import correct
from napari_wsimil.training.corrections.defaults import TUNE

VARIANTS = {"default": TUNE, "labels only": TUNE, **{tune: tune for tune in ("all", "head", "adapter") if tune != TUNE}}
"""Name -> what is tuned; all as `correct` does by default, but that one of them gets no marks."""
SEEDS = 0, 1, 2, 3, 4
"""Defaults of the correction were looked at with the seeds 100 and 101 only."""


PICTURE = "correction.jpg"


class Experiment:
    """One seed of one condition: what was trained, marked and measured, kept in its folder."""

    def __init__(self, chosen: argparse.Namespace, seed: int, hidden: float) -> None:
        self.chosen, self.seed, self.hidden = chosen, seed, hidden
        self.work: Path = chosen.work
        self.folder = self.work / f"{chosen.method}-{chosen.confounder}-{hidden:g}-{seed}"
        self.store = self.work / "features"
        # the ways to correct are compared in one condition
        self.variants = chosen.variants if hidden else ["default"]

    def run(self) -> dict[str, Any]:
        """Do what is not done yet and return the record."""
        kept = self.folder / "record.json"
        record: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        if all(name in record for name in ("before", *self.variants)) and "plain" in record["before"]:
            return record
        slides = make_slides(self.work, self.seed, self.chosen.confounder, self.chosen.amounts, self.hidden)
        manifest = write_manifest(self.folder / "slides.csv", slides)
        model = self._trained(manifest, record)
        marked = corrections(slides, self.folder / "marks", self.seed)
        record |= {"seed": self.seed, "hidden": self.hidden, "method": self.chosen.method}
        record["before"] = self._measured(model, slides, manifest)
        kept.write_text(json.dumps(record, indent=1))
        for name in self.variants:
            if name not in record:
                record[name] = self._corrected(name, model, without_marks(marked) if name == "labels only" else marked)
                record[name] |= self._measured(ws.load_model(self.folder / name / "model"), slides, manifest)
                kept.write_text(json.dumps(record, indent=1))
        self._without_ink(slides, record)
        kept.write_text(json.dumps(record, indent=1))
        return record

    def _without_ink(self, slides: list[MadeSlide], record: dict[str, Any]) -> None:
        """Add to the record what the model before and the corrected one make of fresh slides that nothing was planted on."""
        plain = without_confounder(slides, self.work, self.chosen.amounts)
        manifest = write_manifest(self.folder / "plain.csv", plain)
        for name, folder in (("before", "trained"), ("default", "default")):
            model = ws.load_model(self.folder / folder / "model")
            record[name]["plain"] = figures(view(model, plain, manifest, self.store)).told()

    def _trained(self, manifest: Path, record: dict[str, Any]) -> Any:
        out = self.folder / "trained"
        if "training" not in record:
            shutil.rmtree(out, ignore_errors=True)
            watch = Watch()
            settings = {"epochs": self.chosen.epochs} if self.chosen.epochs else {}
            ws.train(
                manifest,
                self.chosen.method,
                out,
                store=self.store,
                positive_class="tumour",
                settings={**settings, "seed": self.seed},
            )
            record["training"] = watch.told()
        return ws.load_model(out / "model")

    def _corrected(self, name: str, model: Any, marked: list[Any]) -> dict[str, Any]:
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        watch = Watch()
        run = correct(model, marked, out, tune=VARIANTS[name], settings={"seed": self.seed}, store=self.store)
        told = watch.told()
        training = ws.load_model(run.folder / "model").spec.training
        return {**told, "epochs": training.get("epochs"), "best_epoch": training.get("best_epoch")}

    def _measured(self, model: Any, slides: list[MadeSlide], manifest: Path) -> dict[str, Any]:
        parts = {part: [slide for slide in slides if slide.part == part] for part in ("train", "fresh")}
        return {part: figures(view(model, chosen, manifest, self.store)).told() for part, chosen in parts.items()}

    def picture(self, path: Path) -> None:
        """A fresh slide with tumour, that of median wrong focus before, and the first one without."""
        slides = make_slides(self.work, self.seed, self.chosen.confounder, self.chosen.amounts, self.hidden)
        fresh = [slide for slide in slides if slide.part == "fresh"]
        models = [ws.load_model(self.folder / name / "model") for name in ("trained", "default")]
        before, after = (view(model, fresh, self.folder / "slides.csv", self.store) for model in models)
        ill = sorted((one.wrong_focus, row) for row, one in enumerate(before) if one.slide.label == TUMOUR)
        healthy = next(row for row, one in enumerate(before) if one.slide.label == NORMAL)
        rows = ill[len(ill) // 2][1], healthy
        draw([before[row] for row in rows], [after[row] for row in rows], path)


class Watch:
    """Wall time and processor time from now on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def told(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


def main() -> None:
    chosen = _arguments()
    torch.set_num_threads(1)
    records = []
    for hidden in chosen.hidden:
        for seed in chosen.seeds:
            experiment = Experiment(chosen, seed, hidden)
            kept = experiment.folder / "record.json"
            if chosen.report and not kept.exists():
                continue
            records.append(json.loads(kept.read_text()) if chosen.report else experiment.run())
            print(_line(records[-1]), flush=True)
    path = chosen.out.parent / "images" / PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    Experiment(chosen, records[0]["seed"], records[0]["hidden"]).picture(path)
    publish(records, chosen.out, picture=f"../images/{PICTURE}")


def _line(record: dict[str, Any]) -> str:
    names = [name for name in ("before", *VARIANTS) if name in record]
    told = []
    for name in names:
        fresh = record[name]["fresh"]
        told.append(f"{name} {fresh['attention_auc']:.3f} {fresh['instance_auc']:.3f} {fresh['slide_auc']:.3f}")
    return f"hidden {record['hidden']:g}, seed {record['seed']} (attention, instance, slide AUC): " + "; ".join(told)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/correction"))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "results")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--hidden", type=float, nargs="+", default=[0.5, 0.0], help="share of slides called tumour without any")
    parser.add_argument("--method", default="abmil")
    parser.add_argument("--confounder", choices=["pen", "blur"], default="pen")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--report", action="store_true", help="write the page from what is finished")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    chosen.amounts, chosen.epochs = Amounts(), 0
    if chosen.quick:
        chosen.amounts, chosen.epochs, chosen.seeds, chosen.hidden = Amounts(2, 1, 2, 2048), 5, [0], [0.0]
        chosen.variants, chosen.out = ["default"], chosen.work / "results"
    return chosen


if __name__ == "__main__":
    main()
