"""Training on folders of patch images: what can be trained on them, and the encoder that learns along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_wsimil.encoders import load_network, save_encoder
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import METHODS
from napari_wsimil.mil.end_to_end import EndToEnd, ImageEncoder, end_to_end
from napari_wsimil.mil.methods.weno import WENO
from napari_wsimil.packages import EncoderReference
from napari_wsimil.training.bag_sets import ImageFolderBags
from napari_wsimil.training.runs.run_folder import JOURNAL, sha256
from napari_wsimil.training.runs.staged import StagedResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.encoders import CompactCNN
    from napari_wsimil.mil import MILModel
    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.study import Study

CELL = 32
"""Pixels that one cell of the network's last layer stands for: the side of images is a multiple of it."""


def check_method(name: str) -> None:
    """Refuse methods to which images without places at one magnification say too little.

    Raises
    ------
    TrainingError
        It is such a method.
    """
    method = METHODS[name]
    if method.magnifications[1] is None or name == "lrmil":
        raise TrainingError(f"{name} looks at several magnifications, but folders of patch images have one; name the slides.")
    if "regions" in method.shows:
        raise TrainingError(f"{name} needs the places of patches, which folders of images do not tell; name the slides.")


def images_of(cases: Sequence[Case], named: Path) -> tuple[int, float | None]:
    """Side in pixels and µm per pixel of all images; None where the manifest has no mpp.

    Parameters
    ----------
    named
        The manifest, for sentences.

    Raises
    ------
    TrainingError
        They differ, are not square, or can't be read.
    """
    sides: dict[tuple[int, int], Case] = {}
    for case in cases:
        sides.setdefault(ImageFolderBags([case], [0]).side, case)
    if len(sides) > 1:
        (first, one), (second, other) = list(sides.items())[:2]
        raise TrainingError(
            f"{named}: the patches of {one.name} are {first[1]} x {first[0]} px, those of {other.name} {second[1]} x "
            f"{second[0]} px; cut all patches to one size."
        )
    height, width = next(iter(sides))
    if height != width:
        raise TrainingError(f"{named} names patches of {width} x {height} px; cut them to squares.")
    mpps = {case.mpp for case in cases}
    if len(mpps) > 1:
        raise TrainingError(f"{named} names patches of different or unknown mpp; cut all at one magnification.")
    return height, mpps.pop()


def check_side(side: int, encoder: Any, plan: TrainingPlan) -> None:
    """Refuse images that an encoder can't take, or can't learn to take.

    Raises
    ------
    TrainingError
        Their side is no multiple of 32, or not that of an encoder that stays as it is, or not what the plan says.
    """
    if plan.patch_size not in (None, side):
        raise TrainingError(f"{plan.manifest} names patches of {side} px, not of {plan.patch_size}; leave the size out.")
    if not plan.chosen_settings().train_encoder:
        if not encoder.takes(side):
            raise TrainingError(
                f"{plan.manifest} names patches of {side} px, but encoder {encoder.id} takes {encoder.patch_size} px; "
                "let it learn (train_encoder=true), or cut patches of that size."
            )
    elif side % CELL or not CELL <= side <= 4096:
        raise TrainingError(
            f"{plan.manifest} names patches of {side} px; an encoder is trained on sides that are multiples of {CELL} px, "
            "up to 4096: cut the patches so."
        )


def check_settings(plan: TrainingPlan, kind: str) -> None:
    """Refuse settings that would do nothing.

    Raises
    ------
    TrainingError
        A setting for folders of images is given for something else, or one for an encoder that learns where it does not.
    """
    settings = plan.chosen_settings()
    if kind != "images" and (not settings.train_encoder or settings.patches_of_bag):
        raise TrainingError(
            f"{plan.manifest} names {kind}, whose encoder stays as it is: train_encoder and patches_of_bag are for folders of "
            "patch images; leave them out."
        )
    if not settings.train_encoder and settings.patches_of_bag:
        raise TrainingError("patches_of_bag is for an encoder that learns along (train_encoder=true); leave one of them out.")


def with_parameters(plan: TrainingPlan, parameters: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters for an encoder that learns along: in WENO it takes the place of the projection.

    Raises
    ------
    TrainingError
        A projection was asked for.
    """
    if METHODS[plan.method].network is not WENO:
        return parameters
    if plan.parameters.get("projection"):
        raise TrainingError(
            "WENO's projection is for stored features; an encoder that learns from images takes its place: leave it out."
        )
    return {**parameters, "projection": 0}


def content_of(cases: Sequence[Case]) -> str:
    """Digest of names and sizes of all images, by which a run that goes on notices others."""
    listed = []
    for case in cases:
        bag = ImageFolderBags([case], [0]).files(0)
        listed.append((case.name, [(path.relative_to(case.path).as_posix(), path.stat().st_size) for path in bag]))
    return sha256(repr(listed))


def joined(study: Study, mil: MILModel) -> MILModel:
    """Put the network of the study's encoder before a model, both to be trained."""
    spec, network = load_network(study.spec.encoder.name)
    return end_to_end(ImageEncoder(network, spec.mean, spec.std), mil, study.settings.patches_of_bag)


def separated(study: Study, model: MILModel, notes: Mapping[str, Any]) -> StagedResult:
    """Take what `joined` made, trained, apart: a model over features, and the folder of the encoder that makes them."""
    encoder, mil = _parts(model)
    start, patch = load_network(study.spec.encoder.name)[0], study.source.specs[-1]
    made_from = f"{study.spec.encoder.id} {study.spec.encoder.digest}"
    network: CompactCNN = encoder.network.cpu()
    name = f"{start.id.removesuffix('-trained')[:55]}-trained"
    folder = study.folder.path / JOURNAL / "encoder"
    saved = save_encoder(
        network,
        folder,
        id=name,
        mean=start.mean,
        std=start.std,
        patch_size=patch.size,
        mpp=patch.mpp,
        training={"method": f"{study.spec.method}, end to end", "from": made_from},
        card=f"# {name}\n\n{made_from}, trained together with {study.spec.title or study.spec.id} on its slides' labels.\n",
        dtype=torch.float32,
    )
    spec = study.spec.model_copy(update={"encoder": EncoderReference.to(saved, str(folder))})
    return StagedResult(mil, spec, folder, notes={**notes, "encoder_from": made_from})


def _parts(model: MILModel) -> tuple[ImageEncoder, MILModel]:
    encoder = model.encoder
    assert isinstance(encoder, ImageEncoder)  # noqa: S101 - `joined` put it there
    if isinstance(model, EndToEnd):
        return encoder, model.model
    model.encoder = nn.Identity()
    return encoder, model


def same_mpp(one: float | None, other: float) -> bool:
    """Whether two magnifications are the same, up to rounding in files; unknown ones are."""
    return one is None or math.isclose(one, other, rel_tol=0.05)
