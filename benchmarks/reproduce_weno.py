"""WENO's first table on real images: how well ABMIL and DSMIL judge single images, alone and with WENO.

    python benchmarks/reproduce_weno.py --data cifar|crc [--ratios 0.2 0.1 ...] [--seeds 0 ...] [--teachers abmil dsmil]
                                        [--epochs N ...] [--quick] [--device auto|cpu|cuda] [--runs FOLDER] [--out docs/results]

Bags are those of section 4.1 of the paper (`weno_data.py`). All four methods have the same encoder from the same random start,
the same settings and the same bags: the plain method is WENO's teacher without a student (`WENO(answer="teacher")`). On a GPU
the encoder is the paper's and the settings are the official script's; without one both are smaller and faster (`weno_plan.py`).
Settings were chosen on validation bags, a tenth of the training bags; test bags are scored once, by the last epoch's weights.

It can be stopped and started again at any moment: cells that are done are kept in `--runs`, and the one that was cut short goes
on with its next step. `--quick` learns from generated noise in seconds, to see that all works.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from weno_data import bags_of, cifar, crc, crc_features, data_folder, tiny
from weno_page import page
from weno_plan import Plan, make_model, make_settings, plan_for

from napari_wsimil.files import written_whole
from napari_wsimil.training.evaluation.scoring import score
from napari_wsimil.training.recipes.weno import WENORecipe
from napari_wsimil.training.trainer import Trainer

if TYPE_CHECKING:
    from weno_data import Images

    from napari_wsimil.mil import MILOutput
    from napari_wsimil.mil.methods.weno import WENO
    from napari_wsimil.training.bag_sets import MemoryBags

PAGES = {"cifar": "cifar10-mil", "crc": "crc-mil", "tiny": "tiny-mil"}


@dataclass(frozen=True)
class Cell:
    """One run of the table."""

    ratio: float
    teacher: str
    with_weno: bool
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        """For folders."""
        method = self.teacher + ("+weno" if self.with_weno else "")
        return f"{method}-{round(100 * self.ratio)}-seed{self.seed}-{self.epochs}-epochs"


def main() -> None:
    """Run what is missing, and write the page anew after each cell."""
    chosen = _arguments()
    torch.set_num_threads(chosen.threads)
    device = _device(chosen.device)
    data = "tiny" if chosen.quick else chosen.data
    plan = plan_for(data, device)
    images = _images(data, plan, chosen.runs)
    for seed, ratio, teacher, with_weno in product(chosen.seeds, chosen.ratios, chosen.teachers, (False, True)):
        for epochs in chosen.epochs or [plan.epochs.get(ratio, plan.epochs[0])]:
            run_cell(Cell(ratio, teacher, with_weno, seed, epochs), images, plan, chosen.runs / data, device)
            _publish(chosen.out / PAGES[data], data, _done(chosen.runs / data, plan))


def _done(folder: Path, plan: Plan) -> list[dict[str, Any]]:
    """All cells of this plan that were ever finished, whatever is asked for now."""
    every = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    ours = [found for found in every if found["plan"] == _depends(plan, found["epochs"])]
    return sorted(ours, key=lambda found: [found[name] for name in ("ratio", "teacher", "with_weno", "epochs", "seed")])


def _depends(plan: Plan, epochs: int) -> Any:
    """What a cell depends on, as it stands in a file."""
    return json.loads(json.dumps({**asdict(plan), "epochs": epochs}))


def _images(data: str, plan: Plan, cache: Path) -> Images:
    if data == "tiny":
        return tiny()
    if data == "cifar":
        return cifar(data_folder(), cache)
    return crc_features(data_folder(), cache) if plan.encoder == "imagenet" else crc(data_folder(), cache)


def run_cell(cell: Cell, images: Images, plan: Plan, folder: Path, device: torch.device) -> None:
    """Train and score one cell, unless it was done before; a run that was cut short goes on."""
    depends = _depends(plan, cell.epochs)
    done = folder / f"{cell.name}.json"
    if done.exists() and json.loads(done.read_text())["plan"] == depends:
        return
    print(cell.name, flush=True)
    bags = bags_of(images, cell.ratio, plan.length, cell.seed)
    settings = make_settings(plan, cell.epochs, cell.seed)
    torch.manual_seed(cell.seed)
    model = make_model(plan, cell.teacher, with_weno=cell.with_weno).to(device)
    recipe = WENORecipe(model, bags.train, settings)
    identity = json.dumps([asdict(cell), depends])
    outcome = None
    for event in Trainer(recipe, bags.validation, folder / cell.name, identity=identity).run():
        if event.kind == "epoch":
            print(f"  epoch {event.epoch} {_told(event.data)}", flush=True)
        if event.kind == "finish":
            outcome = event.data
    found = {
        **asdict(cell),
        **figures(model, bags.test),
        "validation": figures(model, bags.validation),
        "bags": {side: np.bincount(getattr(bags, side).targets).tolist() for side in ("train", "validation", "test")},
        "seconds": round(outcome["seconds"]),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU core(s)",
        "torch": torch.__version__,
        "settings": settings.model_dump(mode="json"),
        "plan": depends,
    }
    with written_whole(done) as part:
        part.write_text(json.dumps(found, indent=1))


@torch.inference_mode()
def figures(model: WENO, bags: MemoryBags) -> dict[str, float]:
    """AUC over all images, over those of positive bags, and over bags; of WENO's teacher too."""
    evidence, truth, inside = [], [], []
    taught, of_bag = [], []

    def note(row: int, output: MILOutput) -> None:
        (logits,) = output.instance_logits.values()
        (labels,) = bags.instance_labels(row).values()
        evidence.append((logits[:, 1] - logits[:, 0]).float().cpu().numpy())
        truth.append(labels)
        inside.append(np.full(len(labels), bags.targets[row] > 0))
        scores, slide, _ = model.teacher(model.encoder(bags.bag(row).features(1.0).to(logits.device)))
        taught.append(scores.float().cpu().numpy())
        of_bag.append(float(slide[1] - slide[0]))

    scores = score(model, bags, on_bag=note)
    told, labels, positive = np.concatenate(evidence), np.concatenate(truth), np.concatenate(inside)
    return {
        "instance": float(roc_auc_score(labels, told)),
        "instance_in_positive": float(roc_auc_score(labels[positive], told[positive])),
        "bag": float(roc_auc_score(scores.targets, scores.logits[:, 1] - scores.logits[:, 0])),
        "teacher_instance": float(roc_auc_score(labels, np.concatenate(taught))),
        "teacher_bag": float(roc_auc_score(scores.targets, of_bag)),
    }


def _publish(stem: Path, data: str, results: list[dict[str, Any]]) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(stem.with_suffix(".json")) as part:
        part.write_text("[\n" + ",\n".join(json.dumps(found) for found in results) + "\n]\n")
    with written_whole(stem.with_suffix(".md")) as part:
        part.write_text(page(data, results))


def _told(data: Any) -> str:
    losses = " ".join(f"{name} {value:.4f}" for name, value in data["losses"].items())
    return f"{data['seconds']:.0f} s, {losses}, validation bag AUC {data['validation']['auc']:.4f}"


def _device(name: str) -> torch.device:
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("cifar", "crc"), default="cifar")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.2, 0.1, 0.5, 0.05, 0.7])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--teachers", nargs="+", choices=("abmil", "dsmil"), default=["abmil", "dsmil"])
    parser.add_argument("--epochs", type=int, nargs="+", help="other numbers of epochs than the plan's")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--runs", type=Path, default=Path("build/reproduce_weno"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
