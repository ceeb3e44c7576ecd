"""ZoomMIL, AINet and LRMIL on mosaic slides: real tiles on real outlines, trained by slide labels, measured on other tiles.

    python benchmarks/reproduce_mosaics.py --work FOLDER [--out docs/results] [--seeds 3] [--only NAME ...] [--report] [--quick]

Makes what is not there yet, in this order: slides (`mosaic_slides.py`), the encoder (`mosaic_encoder.py`), features at four
magnifications, one training run after the other (`mosaic_runs.py`), and the page with its figures and picture. It can be
stopped anywhere and goes on there. `--report` only writes the page from the runs that are finished. `--quick` is a rehearsal
in seconds with a few tiny slides and the bundled encoder: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mosaic_encoder import bundled_for_tiles, make_encoder, probe
from mosaic_pages import publish
from mosaic_runs import Mosaics, Run, all_runs, do, truth_table
from mosaic_slides import make_slides
from mosaic_sources import read_tiles

ZOOM = (16.0, 8.0, 4.0, 2.0)
SELECTED = 6
COMMON = {"epochs": 15, "learning_rate": 3e-4, "select": "loss", "patience": 0, "select_from": 0.0}
"""What all runs share, whatever their recipe says."""
QUICK_RUNS = "abmil", "zoommil", "lrmil-coarse", "lrmil", "ainet-abmil"


def main() -> None:
    chosen = _arguments()
    torch.set_num_threads(1)
    work: Path = chosen.work
    facts, runs, common = (_quick if chosen.quick else _full)(work, chosen)
    mosaics = Mosaics(work, facts.pop("names"), facts.pop("encoder"))
    facts |= {"slides": truth_table(mosaics), "common": common, "quick": chosen.quick}
    facts["encoder"] = mosaics.encoder.spec.training
    for seed in range(chosen.seeds):
        for run in runs:
            if not chosen.report:
                started = time.perf_counter()
                told = do(run, seed, mosaics, common)
                figures = told["test"]["figures"]
                said = ", ".join(f"{name} {figures[name]['value']:.3f}" for name in ("balanced_accuracy", "roc_auc"))
                print(f"{run.name}-{seed}: {said}, {time.perf_counter() - started:.0f} s", flush=True)
    facts["probe"] = None if chosen.quick else _probed(mosaics)
    publish(mosaics, runs, chosen.seeds, facts, chosen.out)


def _full(work: Path, chosen: argparse.Namespace) -> tuple[dict[str, Any], list[Run], dict[str, Any]]:
    names = make_slides(work)
    make_encoder(work, names["train"])
    runs = [run for run in all_runs(ZOOM, SELECTED) if not chosen.only or run.name in chosen.only]
    return {"names": names, "encoder": work / "encoder"}, runs, dict(COMMON)


def _probed(mosaics: Mosaics) -> dict[str, float]:
    """How well tiles are told apart by the bundled encoder and by ours."""
    kept = mosaics.work / "probe.json"
    if not kept.exists():
        train, test = read_tiles("train"), read_tiles("test")
        eyes = {"bundled": bundled_for_tiles(mosaics.work), "ours": mosaics.encoder}
        kept.write_text(json.dumps({name: probe(eye, train, test) for name, eye in eyes.items()}))
    return dict(json.loads(kept.read_text()))


def _quick(work: Path, _: argparse.Namespace) -> tuple[dict[str, Any], list[Run], dict[str, Any]]:
    names = make_slides(work, (4, 4, 4), (60, 70), limit=10)
    bundled_for_tiles(work)
    runs = [run for run in all_runs((8.0, 2.0), 2) if run.name in QUICK_RUNS]
    runs = [replace(run, settings={**run.settings, "patch_epochs": 1}) if run.name == "lrmil" else run for run in runs]
    return {"names": names, "encoder": work / "bundled-112"}, runs, {**COMMON, "epochs": 1}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/reproduce_mosaics"))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "results")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--report", action="store_true", help="write the page from the finished runs")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seeds = 1
    chosen.work.mkdir(parents=True, exist_ok=True)
    return chosen


if __name__ == "__main__":
    main()
