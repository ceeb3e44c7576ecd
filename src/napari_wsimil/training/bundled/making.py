"""Make the bundled encoder and the bundled model again: ``python -m napari_wsimil.training.bundled``.

Four stages, each kept in the work folder so that a run that was stopped goes on where it was: the encoder from labelled
patches, the features of generated slides, the model from slide labels alone, and its accuracy on generated slides that no stage
has seen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import torch

from napari_wsimil.encoders import CompactCNN, Encoder, save_encoder
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, Model, ModelSpec, load_model, save_model
from napari_wsimil.training.bundled.accuracy import SlideResult, measure
from napari_wsimil.training.bundled.cards import encoder_card, model_card
from napari_wsimil.training.bundled.encoder import MEAN, STD, train_encoder
from napari_wsimil.training.bundled.generated_bags import bag_features, kind_of
from napari_wsimil.training.bundled.tissue_types import TYPES, sample_patches
from napari_wsimil.training.bundled.weak_labels import train_from_slide_labels

if TYPE_CHECKING:
    from napari_wsimil.mil import MILModel

CLASSES = ("No tumour", "Tumour")
PARAMETERS = {"hidden": 128, "attention": 64, "gated": True, "dropout": 0.25}
PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Recipe:
    """How much of everything; seeds of the stages never meet, and none is a sample slide's. `size`: side of a slide, px."""

    size: int = 6144
    encoder_slides: int = 160
    windows: int = 24
    encoder_epochs: int = 6
    model_slides: int = 120
    accuracy_slides: int = 40
    encoder_seed: int = 10_000
    model_seed: int = 20_000
    accuracy_seed: int = 30_000


QUICK = Recipe(size=2048, encoder_slides=4, windows=8, encoder_epochs=1, model_slides=8, accuracy_slides=4)


def make_encoder(recipe: Recipe, work: Path, target: Path) -> Encoder:
    """Train the encoder, or read it where this work folder has it, and write it to `target`."""
    kept = work / "encoder.pt"
    if not kept.exists():
        _train_encoder(recipe, kept)
    state = torch.load(kept, weights_only=True)
    network = CompactCNN()
    network.load_state_dict(state["network"])
    training = {"recipe": asdict(recipe), "tissue_types": list(TYPES), "held_out_accuracy": state["accuracy"]}
    card = encoder_card(recipe, state["accuracy"])
    return save_encoder(network, target, id="bundled-cnn", mean=MEAN, std=STD, training=training, card=card)


def _train_encoder(recipe: Recipe, kept: Path) -> None:
    seeds = range(recipe.encoder_seed, recipe.encoder_seed + recipe.encoder_slides)
    patches, shares = sample_patches(
        seeds, recipe.windows, recipe.size, lambda done, total: _tell(f"patches of slide {done}/{total}")
    )
    figures = []

    def report(epoch: int, loss: float, accuracy: float) -> None:
        figures.append(accuracy)
        _tell(f"encoder, epoch {epoch + 1}/{recipe.encoder_epochs}: loss {loss:.3f}, held-out accuracy {accuracy:.3f}")

    network = train_encoder(patches, shares, epochs=recipe.encoder_epochs, on_epoch=report)
    torch.save({"network": network.state_dict(), "accuracy": figures[-1]}, kept)


def make_model(recipe: Recipe, encoder: Encoder, encoder_name: str, work: Path) -> tuple[MILModel, ModelSpec]:
    """Train the model on slide labels; features of generated slides are kept in `work`."""
    spec = ModelSpec(
        id="bundled-abmil",
        title="Demonstration (ABMIL)",
        method="abmil",
        parameters=PARAMETERS,
        classes=CLASSES,
        positive_class=CLASSES[1],
        encoder=EncoderReference(name=encoder_name, id=encoder.id, digest=encoder.digest, dimension=encoder.dimension),
        mpps=(encoder.mpp,),
        patch_size=encoder.patch_size,
        stride=encoder.patch_size,
        training={"recipe": asdict(recipe), "labels": "slide only"},
    )
    bags, labels = [], []
    for seed in range(recipe.model_seed, recipe.model_seed + recipe.model_slides):
        bags.append(bag_features(seed, recipe.size, encoder, spec.patch_specs()[0], work))
        labels.append(int(kind_of(seed) == "tumour"))
        _tell(f"features of slide {len(bags)}/{recipe.model_slides}: {len(bags[-1])} patches")
    torch.manual_seed(0)
    model = build_mil(spec.method, encoder.dimension, len(CLASSES), PARAMETERS)
    train_from_slide_labels(model, bags, labels, mpp=encoder.mpp, on_epoch=_tell_epoch)
    return model, spec


def measure_model(recipe: Recipe, model: Model, mil: MILModel, target: Path) -> Model:
    """Measure the model on slides never trained on, and write its package again with the figures in its card."""
    seeds = range(recipe.accuracy_seed, recipe.accuracy_seed + recipe.accuracy_slides)
    accuracy = measure(model, seeds, size=recipe.size, on_slide=tell_slide)
    figures: dict[str, Any] = accuracy.summary()
    _tell(f"slide AUC {accuracy.slide_auc:.3f}, patch AUC of attention {accuracy.attention_auc:.3f}")
    spec = model.spec.model_copy(update={"metrics": figures})
    return save_model(target, mil, spec, model_card(recipe, accuracy), dtype=torch.float16)


def tell_slide(result: SlideResult) -> None:
    """Print one slide of `measure`."""
    patch = "" if result.attention_auc is None else f", patch AUC of attention {result.attention_auc:.3f}"
    _tell(f"slide {result.seed}: {'tumour' if result.tumour else 'normal'}, p = {result.probability:.3f}{patch}")


def _tell(text: str) -> None:
    click.echo(text)


def _tell_epoch(epoch: int, loss: float, held: float) -> None:
    _tell(f"model, epoch {epoch + 1}: loss {loss:.4f}, held-out loss {held:.4f}")


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("bundled-work"), help="Folder of the finished stages.")
@click.option("--out", type=click.Path(path_type=Path), help="Write here instead of into the package.")
@click.option("--quick", is_flag=True, help="Tiny amounts, to try the command; needs --out.")
def main(work: Path, out: Path | None, quick: bool) -> None:
    """Make the bundled encoder and model again and print how good they are (about half an hour on two cores)."""
    if quick and out is None:
        raise click.UsageError("--quick makes a poor model; give --out so that it does not replace the bundled one.")
    recipe = QUICK if quick else Recipe()
    work.mkdir(parents=True, exist_ok=True)
    encoder_folder = PACKAGE / "encoders" / "bundled" if out is None else out / "encoder"
    model_folder = PACKAGE / "packages" / "bundled" if out is None else out / "model"
    name = "bundled" if out is None else str(encoder_folder.resolve())
    encoder = make_encoder(recipe, work, encoder_folder)
    mil, spec = make_model(recipe, encoder, name, work)
    save_model(model_folder, mil, spec, dtype=torch.float16)
    measure_model(recipe, load_model(model_folder), mil, model_folder)
