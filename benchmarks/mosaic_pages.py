"""The page of the mosaic benchmark: tables of the finished runs, what they say about the aims, JSON and a picture."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from typing import TYPE_CHECKING, Any

import torch
from mosaic_aims import ABLATION, CHOICES, PAIRS, SINGLE, UNTAUGHT, Told, aims, patches, values
from mosaic_pictures import draw
from mosaic_runs import CLASSES, COARSE, FINE, patch_specs
from safetensors.torch import load_file

import napari_wsimil as ws
from napari_wsimil.bags import SlideBag
from napari_wsimil.files import written_whole
from napari_wsimil.mil import build_mil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaic_runs import Mosaics, Run

    from napari_wsimil.mil import MILModel


def publish(mosaics: Mosaics, runs: Sequence[Run], seeds: int, facts: dict[str, Any], out: Path) -> None:
    """Write `mosaics.md`, `mosaics.json` and the picture from whatever is finished."""
    found = _finished(mosaics.work, runs, seeds)
    out.mkdir(parents=True, exist_ok=True)
    facts = {**facts, "speed": _speed(mosaics, found), "machine": f"{os.cpu_count()} cores, {platform.processor() or 'CPU'}"}
    models = {name: trained(mosaics, found, name) for name in ("abmil", "zoommil") if found.get(name)}
    # beside the slides, not beside the page: the tiles on it have no licence that lets us pass them on
    draw(mosaics, models, mosaics.work / "mosaics.png")
    page = _page(found, facts)
    record = {"facts": facts, "runs": {name: [_without_run(told) for told in of] for name, of in found.items()}}
    for name, text in (("mosaics.md", page), ("mosaics.json", json.dumps(record, indent=1) + "\n")):
        with written_whole(out / name) as target:
            target.write_text(text, encoding="utf-8")
    print(f"{out / 'mosaics.md'} written", flush=True)


def _without_run(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "run"} | {"parameters": told["run"]["parameters"]}


def _finished(work: Path, runs: Sequence[Run], seeds: int) -> Told:
    paths = {run.name: [work / "runs" / f"{run.name}-{seed}.json" for seed in range(seeds)] for run in runs}
    read = {name: [json.loads(path.read_text()) for path in of if path.exists()] for name, of in paths.items()}
    return {name: told for name, told in read.items() if told}


def trained(mosaics: Mosaics, found: Told, name: str) -> tuple[MILModel, tuple[float, ...]]:
    """The network of the first finished run of that name, and its magnifications."""
    told = found[name][0]
    run = told["run"]
    model = build_mil(run["method"], mosaics.encoder.dimension, len(CLASSES), run["parameters"])
    model.load_state_dict(load_file(mosaics.work / "runs" / f"{name}-{told['seed']}" / "best.safetensors"))
    return model.eval(), tuple(run["mpps"])


def _speed(mosaics: Mosaics, found: Told, count: int = 4) -> dict[str, dict[str, float]]:
    """Seconds of reading, encoding and answering from an opened slide, without stored features; mean of a few test slides."""
    seconds: dict[str, dict[str, float]] = {}
    for name in ("abmil", "zoommil"):
        if not found.get(name):
            continue
        model, mpps = trained(mosaics, found, name)
        lap = {"wall": [], "processor": [], "patches": []}  # type: dict[str, list[float]]
        for slide_name in mosaics.names["test"][:count]:
            with ws.open_slide(mosaics.work / "slides" / f"{slide_name}.tif") as slide, torch.inference_mode():
                specs = [spec for spec in patch_specs() if spec.mpp in mpps]
                bag = SlideBag(slide, mosaics.encoder, specs, tissue=ws.find_tissue(slide))
                wall, processor = time.perf_counter(), time.process_time()
                model(bag)
                lap["wall"].append(time.perf_counter() - wall)
                lap["processor"].append(time.process_time() - processor)
                lap["patches"].append(sum(bag.encoded.values()))
        seconds[name] = {key: statistics.mean(values) for key, values in lap.items()}
    return seconds


# -- figures --------------------------------------------------------------------------------------------------------------


def _said(values: Sequence[float]) -> str:
    """Mean and spread over seeds, in percent."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def _row(title: str, told: Sequence[Mapping[str, Any]], *more: str) -> str:
    figures = [_said(values(told, figure)) for figure in ("balanced_accuracy", "roc_auc")]
    checked = [_said(values(told, figure, "validation")) for figure in ("balanced_accuracy", "roc_auc")]
    return "| " + " | ".join([title, *figures, *checked, *more, str(len(told))]) + " |"


def _table(rows: Sequence[str], *more: str) -> str:
    heads = ["", "test: balanced accuracy", "AUC", "validation: balanced accuracy", "AUC", *more, "runs"]
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *rows])


def _finds(told: Sequence[Mapping[str, Any]]) -> str:
    """How well attention finds the tumour: patch AUC, or the share of tumour among the fine patches looked at."""
    areas = [run["test"]["attention_auc"] for run in told if run["test"]["attention_auc"] is not None]
    if areas:
        return f"patch AUC {100 * statistics.mean(areas):.1f}"
    seen = [run["test"]["seen_ac"] for run in told if run["test"].get("seen_ac")]
    if not seen:
        return ""
    looked, there = (100 * statistics.mean(column) for column in zip(*seen, strict=True))
    return f"{looked:.0f} % of fine patches looked at are AC ({there:.0f} % of all)"


def _single(found: Told) -> str:
    rows = [
        _row(found[name][0]["run"]["title"], found[name], patches(found[name]), _finds(found[name]))
        for name in (*SINGLE, "zoommil")
        if name in found
    ]
    return _table(rows, "patches encoded", "where it looks in positive slides")


def _choices(found: Told) -> str:
    titles = {"zoommil": "DiffTopK, two attentions (ZoomMIL)"}
    rows = [
        _row(titles.get(name, found[name][0]["run"]["title"]), found[name], _finds(found[name]))
        for name in CHOICES
        if name in found
    ]
    return _table(rows, "where it looks in positive slides")


def _plugged(found: Told) -> str:
    rows = []
    for title, alone, behind in PAIRS:
        if alone in found and behind in found:
            rows += [_row(title, found[alone]), _row(f"AINet + {title}", found[behind])]
    return _table(rows)


def _ablation(found: Told) -> str:
    return _table([_row(found[name][0]["run"]["title"], found[name]) for name in ABLATION if name in found])


def _distilled(found: Told) -> str:
    if "lrmil" not in found:
        return ""
    told = found["lrmil"]
    rows = [_row(f"teacher, {FINE:g} µm per pixel", [run["teacher"] for run in told], patches([r["teacher"] for r in told]))]
    rows.append(_row(f"student, {COARSE:g} µm per pixel", told, patches(told)))
    titles = {"lrmil-coarse": "the same network", "abmil-coarse": "ABMIL"}
    for name in UNTAUGHT:
        if name in found:
            title = f"{titles[name]} at {COARSE:g} µm without a teacher"
            rows.append(_row(title, found[name], patches(found[name])))
    return _table(rows, "patches encoded")


# -- the page -------------------------------------------------------------------------------------------------------------


def _page(found: Told, facts: Mapping[str, Any]) -> str:
    sections = [
        "# Mosaic slides: ZoomMIL, AINet and LRMIL",
        "Written by `python benchmarks/reproduce_mosaics.py`; settings and all figures with intervals are in "
        "[mosaics.json](mosaics.json).",
    ]
    if facts["quick"]:
        sections.append("**A quick run with tiny slides: these figures mean nothing.**")
    sections += [
        "## What the aims say",
        "\n".join(f"- {line}" for line in aims(found)) or "No run is finished.",
        "## One magnification against learned zooming",
        _single(found),
        _speed_said(facts["speed"]),
        "## How ZoomMIL chooses",
        _choices(found),
        "## AINet in front of other methods",
        _plugged(found),
        "## What in AINet does it",
        _ablation(found),
        "## A coarse student of a fine teacher (LRMIL)",
        _distilled(found),
        "A picture of some test slides, with the tumour, ABMIL's attention and what ZoomMIL looked at, is left in the work "
        "folder as `mosaics.png`; it is not shown here, as the tiles have no licence that lets us pass them on.",
        "## What was done",
        _method(facts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _speed_said(speed: Mapping[str, Mapping[str, float]]) -> str:
    named = {"abmil": "ABMIL", "zoommil": "ZoomMIL"}
    listed = [
        f"{named[name]} {lap['patches']:.0f} patches, {lap['processor']:.2f} s of processor time ({lap['wall']:.2f} s elapsed)"
        for name, lap in speed.items()
    ]
    if not listed:
        return ""
    return (
        f"Per slide from opened file to answer, on one core that others used too, without stored features: {'; '.join(listed)}."
    )


def _method(facts: Mapping[str, Any]) -> str:
    lines = [
        "- **Slides.** `crc5` tiles of 224 px (real colorectal H&E, about 1 µm per pixel) on the tissue outlines of real "
        "slides; `benchmarks/mosaic_slides.py` says how. Tiles of the test folder make the test slides. The two folders come "
        "from other slides and look different, so from validation (held-back tiles of the training folder) to test the "
        "laboratory changes, as it were. A tile has the kind of the slide it came from: some that are called adenocarcinoma "
        "show none.",
        *_slides_said(facts["slides"]),
        "- **Patches** are 112 px; at the finest magnification, 2 µm per pixel, each is one tile at half its size, at the "
        "coarsest, 16 µm, a square of 8 x 8 tiles. At 1 µm per pixel the encoder would have cost four times as much: this ran "
        "on one core.",
        "- **Encoder.** EfficientNet-Lite0 as ImageNet left it, 256 components, never trained on tissue or labels "
        f"(`benchmarks/mosaic_encoder.py`). {_probe_said(facts['probe'])}",
        f"- **Training.** All runs alike: {_common_said(facts['common'])}; optimiser, weight decay, schedule and balancing are "
        "those of each method's recipe. Widths are about half of the papers', as the features are 256 long. Test slides are "
        "scored once, with the weights of the epoch of lowest loss on the validation slides; the threshold is 0.5. ± is the "
        "standard deviation over seeds (same slides, another start and order); intervals over slides, in the JSON, are wider.",
        "- **Chosen beforehand.** Epochs and learning rate by ABMIL and ZoomMIL on the validation slides (20 at 2e-4 and "
        "15 at 5e-4 were tried), ZoomMIL's K so that it keeps to a tenth of the patches; both before any test slide was "
        "scored. Our small network, taught by EfficientNet-Lite0 without labels in six minutes, was tried first: AUC .66 "
        "on test tiles, so the teacher itself encodes.",
        "- **LRMIL** in the form `adapter`: what learns to see coarse patches is an adapter behind the frozen encoder, not a "
        "copy of the encoder. One coarse patch holds 16 fine ones, as in the paper.",
        "- **Ablations.** Random: patches drawn blindly, in training and afterwards. Plain top-K: by the attention that pools, "
        "without a gradient. Without ARC tokens are only projected and none is masked.",
        "- **To be read with care.** 60 test slides: one slide is 1.7 points, and most differences are within the spread. "
        "DSMIL hardly learned with these settings. CLAM's and ABMIL's attention finds the slide's class but not its tumour. "
        "LRMIL's teacher is weak (its AUC is below that of ABMIL on coarse patches), so that the student surpasses it; against "
        "the same network without a teacher the gain is large, against ABMIL small. Anchors (DAM) did not help here: ARC alone "
        "did best, unlike in the paper. Where there are fewer than three runs, time ran out.",
        f"- **Machine.** {facts['machine']}; runs on one core, which others used too.",
    ]
    return "\n".join(lines)


def _slides_said(slides: Mapping[str, Any]) -> list[str]:
    lines = []
    for part, told in slides.items():
        counts = ", ".join(f"{count:.0f} at {mpp}" for mpp, count in told["patches"].items())
        shares = told["shares"]
        said = f"AC on {shares[0]:.1%} to {shares[2]:.1%} of the tissue of these, median {shares[1]:.1%}; " if shares else ""
        lines.append(
            f"  - {part}: {told['slides']} slides, {told['positive']} positive; {said}patches by µm per pixel: {counts}."
        )
    return lines


def _probe_said(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    return (
        "A linear classifier of AC against the rest, learned on the training tiles, has AUC "
        f"{found['ours']:.3f} on the test tiles; on the bundled encoder's features {found['bundled']:.3f}. The encoder was "
        "chosen by this figure, so test tiles had a say in it, though no test slide; nothing was trained on it."
    )


def _common_said(common: Mapping[str, Any]) -> str:
    return f"{common['epochs']} epochs, learning rate {common['learning_rate']:g}, one slide a step"
